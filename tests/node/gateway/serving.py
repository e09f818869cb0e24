"""A gateway over a mesh in memory, and ways to talk to it."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import h11
import msgspec
import openai
import trio

from p2p_modelex.engine.abc import Engine
from p2p_modelex.engine.memory import MemoryEngine
from p2p_modelex.node.charging_settings import X402Settings
from p2p_modelex.node.configuration import GatewaySettings
from p2p_modelex.node.exchange import Exchange
from p2p_modelex.node.gateway.gateway import open_gateway
from p2p_modelex.node.home import Home
from p2p_modelex.units import Wei
from tests.node.world import MODEL, PRICE, World, wait_for_sellers

CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 8}
T = TypeVar("T")


@dataclass(frozen=True)
class Reply:
    """A whole answer. headers: names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def error(self) -> dict[str, Any]:
        shown: dict[str, Any] = self.json["error"]
        assert shown.keys() == {"message", "type", "param", "code"}
        return shown

    @property
    def events(self) -> list[Any]:
        """The events of a stream, the last of which must be [DONE] and is left out."""
        *events, last, rest = self.body.decode().split("\n\n")
        assert (last, rest) == ("data: [DONE]", "")
        return [msgspec.json.decode(event.removeprefix("data: ")) for event in events]


def text_of(events: Sequence[Any]) -> str:
    """The text that a chat's stream came to."""
    deltas = (choice["delta"] for event in events for choice in event["choices"])
    return "".join(delta.get("content", "") for delta in deltas)


@dataclass
class Talk:
    """One connection, on which requests can be sent one after the other."""

    stream: trio.SocketStream
    state: h11.Connection = field(default_factory=lambda: h11.Connection(h11.CLIENT))

    async def ask(
        self, method: str, path: str, body: object = None, headers: Sequence[tuple[str, str]] = ()
    ) -> Reply:
        content = b"" if body is None else msgspec.json.encode(body)
        if isinstance(body, bytes):
            content = body
        head = [("host", "127.0.0.1"), ("content-length", str(len(content))), *headers]
        sending = h11.Request(method=method, target=path, headers=head), h11.Data(data=content)
        for event in (*sending, h11.EndOfMessage()):
            await self.stream.send_all(self.state.send(event) or b"")
        async with aclosing(self.pieces()) as pieces:
            return await collect(pieces)

    async def pieces(self) -> AsyncGenerator[h11.Response | bytes, None]:
        """The answer as it comes: the head, then the body in parts."""
        while True:
            event = self.state.next_event()
            if event is h11.NEED_DATA:
                self.state.receive_data(await self.stream.receive_some(65536))
            elif isinstance(event, h11.Response):
                yield event
            elif isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                if self.state.our_state is self.state.their_state is h11.DONE:
                    self.state.start_next_cycle()
                return

    async def send(self, raw: bytes) -> None:
        await self.stream.send_all(raw)

    async def read(self) -> bytes:
        """Everything until the other side closes."""
        return b"".join([part async for part in self.stream])


async def collect(pieces: AsyncGenerator[h11.Response | bytes, None]) -> Reply:
    head, body = None, b""
    async for piece in pieces:
        if isinstance(piece, bytes):
            body += piece
        else:
            head = piece
    assert head is not None
    headers = {name.decode(): value.decode() for name, value in head.headers}
    return Reply(head.status_code, headers, body)


@dataclass
class Served:
    """A gateway that runs."""

    url: str
    world: World
    exchange: Exchange

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2].removesuffix("/v1"))

    @asynccontextmanager
    async def talk(self) -> AsyncGenerator[Talk, None]:
        async with await trio.open_tcp_stream("127.0.0.1", self.port) as stream:
            yield Talk(stream)

    async def ask(self, method: str, path: str, body: object = None, **headers: str) -> Reply:
        async with self.talk() as talk:
            named = [(name.replace("_", "-"), value) for name, value in headers.items()]
            return await talk.ask(method, path, body, named)

    async def chat(self, **more: object) -> Reply:
        return await self.ask("POST", "/v1/chat/completions", {**CHAT, **more})

    async def use(self, work: Callable[[openai.OpenAI], T], key: str = "any") -> T:
        """Let the official library work, in a thread."""

        def run() -> T:
            with openai.OpenAI(base_url=self.url, api_key=key, max_retries=0) as library:
                return work(library)

        return await trio.to_thread.run_sync(run)


@asynccontextmanager
async def serve(
    *engines: Engine,
    home: Home | None = None,
    settings: GatewaySettings | None = None,
    world: World | None = None,
    charges: X402Settings | None = None,
    **limits: Any,
) -> AsyncGenerator[Served, None]:
    """A gateway whose mesh has a provider for each engine, the first the cheapest by far."""
    world = world or World()
    world.charges = charges or world.charges
    async with AsyncExitStack() as stack:
        for number, engine in enumerate(engines or (MemoryEngine(MODEL),), 1):
            price = Wei(PRICE * number**6)
            await stack.enter_async_context(world.provider(number, engine, price=price))
        friends = list(range(1, max(len(engines), 1) + 1))
        exchange = await stack.enter_async_context(world.requester(99, friends=friends, **limits))
        await wait_for_sellers(exchange, len(friends))
        chosen = settings or GatewaySettings(port=0)
        url = await stack.enter_async_context(open_gateway(exchange, chosen, home))
        yield Served(url, world, exchange)
