"""The library for those who buy: `async with connect(...) as exchange`.

    async with p2p_modelex.connect("buyer", passphrase) as exchange:
        completion = exchange.run("Say hello.", model="smollm2-135m-instruct")
        async for piece in completion:
            print(piece.text, end="")
        print(completion.row.receipt)

Everything runs on Trio.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from p2p_modelex.core.directory.directory import Entry
from p2p_modelex.core.effects import (
    RunEvent,
    RunFailed,
    RunFinished,
    RunRestarted,
    RunStarted,
    RunText,
)
from p2p_modelex.core.inputs import RunRequested
from p2p_modelex.errors import (
    JobFailed,
    JobRefused,
    ModelexError,
    NetworkError,
    NoProvider,
    PaymentError,
)
from p2p_modelex.ids import JobId, PeerId, format_peer_id
from p2p_modelex.keys.keystore import unlock_keystore
from p2p_modelex.keys.passphrase import read_passphrase
from p2p_modelex.node.assembly import open_node
from p2p_modelex.node.configuration import Configuration
from p2p_modelex.node.configuration_file import read_configuration
from p2p_modelex.node.home import Home, default_home
from p2p_modelex.node.node import Node
from p2p_modelex.records.advertisement import Kind
from p2p_modelex.records.job import Message, Request
from p2p_modelex.records.rows import ReceiptRow
from p2p_modelex.units import Wei

SYNC_TIMEOUT_S = 20.0
ATTEMPTS = 4
_PAYMENT_CODES = ("no_channel", "channel_exhausted", "debt", "bad_voucher", "over_ceiling")


@dataclass(frozen=True, slots=True)
class Terms:
    """What one request may cost and who may serve it. None takes the configuration's value."""

    max_cost: Wei | None = None
    only: tuple[PeerId, ...] = ()
    denied: tuple[PeerId, ...] = ()
    attempts: int = ATTEMPTS
    is_fast: bool = True


def build_request(
    prompt: str | Sequence[Message],
    *,
    model: str,
    kind: Kind = "chat",
    max_tokens: int = 128,
    temperature: float = 0.0,
    top_p: float = 1.0,
    top_k: int = 0,
    seed: int = 0,
    stop: Sequence[str] = (),
    grammar: str = "",
) -> Request:
    """Return a request; a text of kind `chat` becomes one user message."""
    text, messages = "", tuple[Message, ...]()
    if not isinstance(prompt, str):
        messages = tuple(prompt)
    elif kind == "chat":
        messages = (Message("user", prompt),)
    else:
        text = prompt
    return Request(
        model=model,
        weights=bytes(32),
        kind=kind,
        text=text,
        messages=messages,
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        seed=seed,
        stop=tuple(stop),
        grammar=grammar,
    )


class Completion:
    """One request on its way. Iterate over it once; then `text`, `row` and `paid` are there.

    After a RunRestarted among the pieces, text seen before is void: another provider begins anew.
    """

    def __init__(
        self, node: Node, configuration: Configuration, request: Request, terms: Terms
    ) -> None:
        self._node = node
        self._configuration = configuration
        self._request = request
        self._terms = terms
        self.text = ""
        self.provider: PeerId | None = None
        self.row: ReceiptRow | None = None
        """The verified receipt with what it is about, once finished."""
        self.paid = Wei(0)

    def __aiter__(self) -> AsyncIterator[RunText | RunRestarted]:
        return self._pieces()

    async def wait(self) -> str:
        """Run to the end and return the text. Raises as iterating does."""
        async for _ in self:
            pass
        return self.text

    async def _pieces(self) -> AsyncGenerator[RunText | RunRestarted, None]:
        """Raises NoProvider, JobRefused, JobFailed, PaymentError or NetworkError."""
        async with self._node.run(self._build) as events:
            async for event in events:
                self._note(event)
                if isinstance(event, RunText | RunRestarted):
                    yield event

    def _note(self, event: RunEvent) -> None:
        match event:
            case RunStarted(_, peer):
                self.provider, self.text = peer, ""
            case RunText(_, text):
                self.text += text
            case RunFinished():
                self.row, self.paid = event.row, event.paid
            case RunFailed():
                raise error_of(event)

    def _build(self, job: JobId) -> RunRequested:
        settings, terms = self._configuration.requester, self._terms
        return RunRequested(
            job=job,
            request=self._request,
            max_cost=settings.max_cost if terms.max_cost is None else terms.max_cost,
            max_prompt_price=settings.max_prompt_price,
            max_completion_price=settings.max_completion_price,
            max_window=settings.max_window,
            only=terms.only,
            denied=terms.denied,
            attempts=terms.attempts,
            is_fast=terms.is_fast,
        )


def error_of(failed: RunFailed) -> ModelexError:
    """Return the error that a failed run raises."""
    if failed.code == "no_provider":
        return NoProvider(failed.reason, hint="modelex nodes shows who sells what")
    if failed.code in _PAYMENT_CODES:
        return PaymentError(f"{failed.code}: {failed.reason}", hint="modelex balance; --max-price")
    if failed.code in ("dial", "stream"):
        return NetworkError(failed.reason, hint="modelex nodes shows who is there")
    if failed.refused:
        return JobRefused(failed.code, failed.reason)
    return JobFailed(f"{failed.code}: {failed.reason}")


class Exchange:
    """A requester's view of the mesh."""

    def __init__(self, node: Node, configuration: Configuration) -> None:
        self.node = node
        self._configuration = configuration

    def run(self, prompt: str | Sequence[Message], *, model: str, **options: object) -> Completion:
        """Ask for a completion; see `build_request` for the options, and `terms` (Terms)."""
        terms = options.pop("terms", None) or Terms()
        assert isinstance(terms, Terms)
        request = build_request(prompt, model=model, **options)  # type: ignore[arg-type]
        return self.request(request, terms)

    def request(self, request: Request, terms: Terms | None = None) -> Completion:
        """As `run`, for a request that is built already."""
        return Completion(self.node, self._configuration, request, terms or Terms())

    async def meet(self, peer: PeerId, address: str) -> None:
        """Dial a peer by its address and learn what it sells. Raises DialFailed, NetworkError."""
        await self.node.parts.network.dial(peer, [address])
        with trio.move_on_after(SYNC_TIMEOUT_S):
            await self.node.wait_until(lambda: self.node.core.directory.get(peer) is not None)
            return
        raise NetworkError(f"{format_peer_id(peer)} did not advertise itself")

    async def measure(self, entry: Entry) -> float | None:
        """Return the round trip to a peer in milliseconds, None if it does not answer."""
        network = self.node.parts.network
        try:
            await network.dial(entry.peer, entry.advertisement.addresses)
            return await network.ping(entry.peer) * 1000
        except NetworkError:
            return None

    def nodes(self) -> tuple[Entry, ...]:
        """Return everyone known who sells something."""
        entries = self.node.core.directory.entries()
        return tuple(entry for entry in entries if entry.advertisement.offers)


@asynccontextmanager
async def connect(
    home: Path | str | None = None,
    passphrase: str | None = None,
    *,
    wait_s: float = SYNC_TIMEOUT_S,
) -> AsyncGenerator[Exchange, None]:
    """Open the home's node, join the mesh and wait until the directory is synced.

    home: a directory made by `modelex init`; None for the default one. passphrase: None reads
    MODELEX_PASSPHRASE, the configured file, or asks. Raises as `open_node` does; NetworkError if
    no peer answers within `wait_s` seconds.
    """
    place = default_home() if home is None else Home(Path(home))
    configuration = read_configuration(place.configuration)
    if passphrase is None:
        file = configuration.keys.passphrase_file
        passphrase = read_passphrase(place.path / file if file else None)
    keys = unlock_keystore(place.keys, passphrase)
    async with open_node(place, configuration, keys) as node:
        if not await node.wait_synced(wait_s):
            raise NetworkError(
                "no peer answered", hint="is a bootstrap peer of [mesh] up? modelex doctor"
            )
        yield Exchange(node, configuration)
        await node.leave()
