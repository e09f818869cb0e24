"""The gateway itself: takes each request through entry, asking, answering, and accounts for it."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import unquote

import msgspec
import structlog
import trio

from p2p_modelex import __version__
from p2p_modelex.errors import ConfigurationError, ModelexError
from p2p_modelex.node.configuration import GatewaySettings
from p2p_modelex.node.exchange import Exchange, Terms
from p2p_modelex.node.gateway.answering import Answering, send_refusal, shutting_down
from p2p_modelex.node.gateway.asking import (
    Asked,
    Room,
    read_chat,
    read_completion,
    read_embedding,
    take_headers,
)
from p2p_modelex.node.gateway.batches.cabinet import Cabinet
from p2p_modelex.node.gateway.batches.desk import Desk
from p2p_modelex.node.gateway.batches.shapes import Line
from p2p_modelex.node.gateway.books import Books, NodeBooks
from p2p_modelex.node.gateway.bounds import Bounds
from p2p_modelex.node.gateway.charging.payment import Payment
from p2p_modelex.node.gateway.charging.till import Till
from p2p_modelex.node.gateway.entry import Account, Entry
from p2p_modelex.node.gateway.heads import HttpRequest
from p2p_modelex.node.gateway.http import HttpServer
from p2p_modelex.node.gateway.openapi import build_document
from p2p_modelex.node.gateway.refusal import Refusal, refusal_of
from p2p_modelex.node.gateway.rendering import Answered
from p2p_modelex.node.gateway.replies import Health
from p2p_modelex.node.gateway.runs import OwnRun, Run
from p2p_modelex.node.gateway.shelf import Shelf
from p2p_modelex.node.gateway.wire import JSON, Wire
from p2p_modelex.node.home import Home, receipt_path, write_receipt
from p2p_modelex.records.job import Request
from p2p_modelex.records.rows import ReceiptRow
from p2p_modelex.units import Wei

LEAVE_TIMEOUT_S = 10.0
"""Requests in hand are cancelled when the gateway ends; this is for their receipts to come."""

_MODELS = "/v1/models"
_DEFERRED = ("/v1/files", "/v1/batches")
log = structlog.get_logger(__name__)


def _open_till(exchange: Exchange, books: Books) -> Till | None:
    """What takes payments, where the configuration has it so."""
    chain = exchange.node.parts.chain
    if chain is None or not exchange.charges.charge:
        return None
    return Till(chain, books, lambda: exchange.charges, lambda: exchange.node.epoch)


class Gateway:
    """Answers HTTP requests by what the mesh, or the node itself, has to offer."""

    def __init__(self, exchange: Exchange, settings: GatewaySettings, home: Home | None) -> None:
        """home: where keys and receipt files are, None for neither."""
        self._exchange = exchange
        self._receipts = None if home is None else home.receipts
        books = NodeBooks(exchange.node)
        self._entry = Entry(None if home is None else home.api_keys, books)
        self._till = _open_till(exchange, books)
        self._shelf = Shelf(exchange)
        self._bounds = Bounds(exchange, self._shelf, settings.max_tokens)
        self._desk = None if home is None else Desk(Cabinet(home.batches), self._answer_line)
        self._under_way: set[Answering] = set()
        self._is_leaving = False
        self._quiet = trio.Condition()
        self._posts: dict[str, Callable[[bytes, Room], Asked]] = {
            "/v1/chat/completions": read_chat,
            "/v1/completions": read_completion,
            "/v1/embeddings": read_embedding,
        }
        self._gets: dict[str, Callable[[], bytes]] = {
            _MODELS: lambda: msgspec.json.encode(self._shelf.list_models()),
            "/health": self._show_health,
            "/openapi.json": build_document,
        }

    async def answer(self, request: HttpRequest, wire: Wire) -> None:
        """Answer one request. Raises nothing: a bug is logged and answered as one."""
        await self._guard(request.path, wire, self._answer(request, wire))

    async def load(self) -> None:
        """Read what earlier runs left; call once, first. Raises ConfigurationError."""
        if self._till is not None:
            await self._till.journal.load()
        if self._desk is not None:
            try:
                await self._desk.load()
            except OSError as error:
                raise ConfigurationError(f"cannot read the gateway's batches: {error}") from error

    def resume(self, nursery: trio.Nursery) -> None:
        """Go on with the batches that a restart cut off; later ones run in the nursery as well."""
        if self._desk is not None:
            self._desk.batches.resume(nursery)

    async def _guard(self, path: str, wire: Wire, answering: Awaitable[None]) -> None:
        try:
            await answering
        except Refusal as refusal:
            log.info("refused", path=path, status=refusal.status, reason=refusal.message)
            await send_refusal(wire, refusal)
        except ModelexError as error:
            log.warning("failed", path=path, reason=str(error))
            await send_refusal(wire, refusal_of(error))
        except Exception as error:  # the border: a bug costs a request, not the gateway
            log.exception("gateway_bug", path=path, error=repr(error))
            await send_refusal(wire, Refusal(500, "internal", "a bug of the gateway; it is logged"))

    async def leave(self) -> None:
        """Take no more, and cancel what is under way; returns once it is receipted and paid."""
        self._is_leaving = True
        with trio.move_on_after(LEAVE_TIMEOUT_S):
            if self._desk is not None:
                await self._desk.batches.leave()
            for answering in tuple(self._under_way):
                await answering.cancel()
            async with self._quiet:
                while self._under_way:
                    await self._quiet.wait()

    async def _answer(self, request: HttpRequest, wire: Wire) -> None:
        read = self._posts.get(request.path)
        if read is not None:
            await self._answer_post(request, read, wire)
        elif self._desk is not None and request.path.startswith(_DEFERRED):
            account = await self._admit(request)
            if account is None:
                raise Refusal(401, "no_api_key", "files and batches need a key")
            await self._desk.answer(request, account.owner, wire)
        else:
            show = self._gets.get(request.path) or self._find(request.path)
            _check_method(request, "GET")
            if request.path != "/health":
                await self._admit(request)
            await wire.respond(200, JSON, show())

    async def _answer_post(
        self, request: HttpRequest, read: Callable[[bytes, Room], Asked], wire: Wire
    ) -> None:
        _check_method(request, "POST")
        account = await self._admit(request)
        asked = take_headers(read(request.body, self._bounds.find_room), request.headers)
        if account is None:
            await self._sell(asked, request, wire)
        else:
            await self._answer_ask(asked, account, wire)

    async def _admit(self, request: HttpRequest) -> Account | None:
        """Return on whose account a request runs, None for who is to pay for it. Raises Refusal."""
        if self._is_leaving:
            raise shutting_down()
        try:
            account = await self._entry.admit(request)
        except Refusal as refusal:
            if self._till is None or refusal.status not in (401, 403):
                raise
            return None
        return None if self._till is not None and account.key is None else account

    async def _sell(self, asked: Asked, request: HttpRequest, wire: Wire) -> None:
        """Answer whoever pays for it. What the mesh has and costs is for everybody to see."""
        assert self._till is not None
        model = self._exchange.resolve(asked.requests[0].model)
        is_own = model in self._exchange.node.parts.engines
        if not is_own and not self._shelf.find_named(model):
            self._shelf.get_model(model)  # who pays for what nobody has?
        most, answers = self._bounds.find_most(asked), len(asked.requests)
        price = self._till.price(model, most, answers, is_own=is_own)
        is_timed = asked.terms.timeout_s is not None
        async with self._till.take(request, price, is_timed=is_timed) as payment:
            worth = payment.compute_worth(self._exchange.node.epoch)
            ceiling = min(price.compute_ceiling(worth), self._bounds.find_ceiling(asked))
            asked = replace(asked, terms=replace(asked.terms, max_cost=ceiling))
            await self._answer_ask(asked, self._entry.nobody, wire, payment)

    def _find(self, path: str) -> Callable[[], bytes]:
        if path.startswith(_MODELS + "/"):
            name = unquote(path.removeprefix(_MODELS + "/"))  # a name may have a slash
            return lambda: msgspec.json.encode(self._shelf.get_model(name))
        raise Refusal(404, "unknown_path", f"there is no {path[:80]}; GET /openapi.json says what")

    async def _answer_line(self, owner: str, line: Line, wire: Wire) -> None:
        """Answer a line of a batch, on its owner's account."""

        async def answer() -> None:
            asked = self._posts[line.url](bytes(line.body), self._bounds.find_room)
            if asked.is_stream:
                raise Refusal(400, "unsupported", "a batch has no streams", param="stream")
            await self._answer_ask(asked, await self._entry.find(owner), wire)

        await self._guard(line.url, wire, answer())

    async def _answer_ask(
        self, asked: Asked, account: Account, wire: Wire, payment: Payment | None = None
    ) -> None:
        count, ceiling = len(asked.requests), self._bounds.find_ceiling(asked)
        epoch = self._exchange.node.epoch
        # What it can cost at all is enough to hold, so that more requests find room in a budget.
        reserved = account.reserve(Wei(self._bounds.find_most(asked) * count), epoch)
        if account.is_bounded:
            ceiling = Wei(reserved // count)
        terms = replace(asked.terms, max_cost=ceiling)
        begins = [partial(self._ask, one, terms) for one in asked.requests]
        answering = Answering(asked, begins, wire, epoch, payment)
        self._under_way.add(answering)
        try:
            answered = await self._run(answering, account, reserved)
            await answering.finish(answered)
            await self._write_receipts(answered)
        finally:
            self._under_way.discard(answering)
            if self._is_leaving:
                async with self._quiet:
                    self._quiet.notify_all()

    async def _run(self, answering: Answering, account: Account, reserved: Wei) -> list[Answered]:
        """Run to the end, and account for what was paid, before anybody is told."""
        try:
            return await answering.run()
        finally:
            paid, epoch = answering.sum_paid()
            if account.key is not None:
                with trio.CancelScope(shield=True):
                    await account.settle(reserved, paid, epoch)

    def _ask(self, request: Request, terms: Terms) -> Run:
        """Begin nothing yet: a run begins when it is iterated over."""
        node = self._exchange.node
        engine = node.parts.engines.get(self._exchange.resolve(request.model))
        may_own = node.peer in (terms.only or (node.peer,)) and node.peer not in terms.denied
        if engine is not None and may_own and engine.info.serves(request):
            own = msgspec.structs.replace(request, model=engine.info.model)
            return OwnRun(engine, own, node.peer, terms.timeout_s)
        return self._exchange.request(request, terms)

    async def _write_receipts(self, answered: Sequence[Answered]) -> None:
        rows = [one.outcome.row for one in answered if one.outcome.row is not None]
        if self._receipts is not None and rows:
            await trio.to_thread.run_sync(_write_files, self._receipts, rows)

    def _show_health(self) -> bytes:
        return msgspec.json.encode(Health("ok", __version__, len(self._exchange.nodes())))


def _check_method(request: HttpRequest, wanted: str) -> None:
    if request.method != wanted:
        message = f"{request.path[:80]} takes {wanted}, not {request.method[:20]}"
        raise Refusal(405, "wrong_method", message)


def _write_files(folder: Path, rows: Sequence[ReceiptRow]) -> None:
    """Write receipt files as `modelex run` does. The database has them in any case."""
    for row in rows:
        try:
            write_receipt(receipt_path(folder, row), row)
        except (OSError, ModelexError) as error:
            log.warning("receipt_not_written", reason=str(error))


@asynccontextmanager
async def open_gateway(
    exchange: Exchange, settings: GatewaySettings, home: Home | None
) -> AsyncGenerator[str, None]:
    """Serve until the block ends; gives the base URL. ConfigurationError if it cannot listen."""
    gateway = Gateway(exchange, settings, home)
    await gateway.load()
    try:
        listeners = await trio.open_tcp_listeners(settings.port, host=settings.host)
    except OSError as error:
        raise ConfigurationError(
            f"the gateway cannot listen on {settings.host}:{settings.port}: {error.strerror}",
            hint="choose another port in [gateway]",
        ) from error
    server = HttpServer(gateway.answer, settings.connections)
    async with trio.open_nursery() as nursery:
        gateway.resume(nursery)
        nursery.start_soon(server.serve, listeners)
        host, port = listeners[0].socket.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        try:
            yield f"http://{shown}:{port}/v1"
        finally:
            with trio.CancelScope(shield=True):
                await gateway.leave()
            nursery.cancel_scope.cancel()
