"""HTTP/1.1 to one server over Trio and h11: kept connections, bounded answers, streamed or whole.

Not httpx: it costs nearly twice the CPU (benchmarks/upstream.py), and leaves half-finished
asynchronous generators behind when an answer is cut off, of each of which Trio warns.
"""

import ssl
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import urlsplit

import h11
import msgspec
import trio

from p2p_modelex.errors import ConfigurationError, EngineError
from p2p_modelex.limits import KIB, MIB

BODY_BYTES = 4 * MIB
"""The largest answer that is read whole: token ids of the longest prompt, or a long vector."""

ERROR_BYTES = 16 * KIB
"""What is read of an answer that says what went wrong."""

CONNECT_TIMEOUT_S = 10.0
IDLE_MAX = 64
_RECEIVE_BYTES = 64 * KIB
_FAILURES = (OSError, trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError)


class Unreachable(EngineError):
    """The server, or the way to it, failed: no connection, a broken one, no HTTP, or silence."""


class Answer:
    """The beginning of an answer; its body comes as it is read."""

    def __init__(self, response: h11.Response, connection: "_Connection") -> None:
        self.status = response.status_code
        self._headers = response.headers
        self._connection = connection

    def get_header(self, name: bytes) -> str:
        """Return a header by its lower-case name, empty if there is none."""
        found = next((value for key, value in self._headers if key == name), b"")
        return found.decode("latin-1")

    async def read_some(self, timeout_s: float) -> bytes:
        """Return what came of the body, nothing at its end; Unreachable after `timeout_s`."""
        with _bounded(timeout_s):
            return await self._connection.read_body()

    async def read_all(self, limit: int, timeout_s: float) -> bytes:
        """Return the whole body; EngineError if it is over `limit` bytes."""
        body = bytearray()
        deadline = trio.current_time() + timeout_s
        while part := await self.read_some(deadline - trio.current_time()):
            body += part
            if len(body) > limit:
                raise EngineError(f"the upstream's answer is over {limit} bytes")
        return bytes(body)


class Server:
    """Talks to one server. No proxies, no redirects. Not to be used after `aclose`.

    url: where its API begins, such as http://127.0.0.1:8000/v1. key: sent as a bearer token, or
    empty. Raises ConfigurationError for a URL that is none.
    """

    def __init__(self, url: str, key: str) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise ConfigurationError(
                f"not an API's URL: {url[:100]!r}", hint="such as http://127.0.0.1:8000/v1"
            )
        if parts.username or parts.password:
            raise ConfigurationError(
                "the URL holds a password", hint="give the key by api_key_file instead"
            )
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._host = parts.hostname
        self._port = port or (443 if self._tls else 80)
        self.base = parts.path.rstrip("/")
        self.root = self.base.removesuffix("/v1")
        """Where servers have what OpenAI's API has not, such as /tokenize."""
        self.name = f"{parts.scheme}://{parts.netloc}"
        self._headers = [("host", parts.netloc), ("accept", "*/*")]
        self._key = key
        if key:
            self._headers.append(("authorization", f"Bearer {key}"))
        self._idle: list[_Connection] = []

    def redact(self, text: str) -> str:
        """Return a text of the server's without our key, which some of them repeat."""
        return text.replace(self._key, "(key)") if self._key else text

    async def fetch(
        self, target: str, body: object = None, *, timeout_s: float
    ) -> tuple[int, bytes]:
        """GET a target, or POST a body to it as JSON; return status and content."""
        deadline = trio.current_time() + timeout_s
        async with self.open(target, body, timeout_s=timeout_s) as answer:
            limit = BODY_BYTES if answer.status == 200 else ERROR_BYTES
            return answer.status, await answer.read_all(limit, deadline - trio.current_time())

    @asynccontextmanager
    async def open(
        self, target: str, body: object = None, *, timeout_s: float
    ) -> AsyncGenerator[Answer, None]:
        """Ask, and yield the answer once its head has come, within `timeout_s`.

        Leaving before the body's end closes the connection, at which servers stop their work.
        Raises Unreachable.
        """
        encoded = b"" if body is None else msgspec.json.encode(body)
        connection: _Connection | None = None
        try:
            with _bounded(timeout_s):
                request = self._build_request(target, encoded)
                connection, response = self._take_idle(), None
                if connection is not None:
                    response = await connection.ask_again(request, encoded)
                if connection is None or response is None:
                    connection = await self._connect()
                    response = await connection.ask(request, encoded)
            yield Answer(response, connection)
            if connection.make_ready() and len(self._idle) < IDLE_MAX:
                self._idle.append(connection)
                connection = None
        finally:
            if connection is not None:
                await trio.aclose_forcefully(connection.stream)

    async def aclose(self) -> None:
        """Close the kept connections."""
        while self._idle:
            await trio.aclose_forcefully(self._idle.pop().stream)

    def _take_idle(self) -> "_Connection | None":
        """Return a kept connection; one that is readable while idle was closed by the server."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.socket.is_readable():
                return connection
            connection.socket.close()
        return None

    async def _connect(self) -> "_Connection":
        with trio.move_on_after(CONNECT_TIMEOUT_S):
            tcp = await trio.open_tcp_stream(self._host, self._port)
            if self._tls is None:
                return _Connection(tcp, tcp.socket)
            secured = trio.SSLStream(
                tcp, self._tls, server_hostname=self._host, https_compatible=True
            )
            return _Connection(secured, tcp.socket)
        raise Unreachable(f"no connection within {CONNECT_TIMEOUT_S:g} s")

    def _build_request(self, target: str, body: bytes) -> h11.Request:
        headers = self._headers
        if body:
            size = ("content-length", str(len(body)))
            headers = [*headers, ("content-type", "application/json"), size]
        return h11.Request(method="POST" if body else "GET", target=target, headers=headers)


class _Connection:
    """One connection and what h11 knows of it."""

    def __init__(self, stream: trio.abc.Stream, socket: trio.socket.SocketType) -> None:
        self.stream = stream
        self.socket = socket
        self._state = h11.Connection(h11.CLIENT)
        # Whether anything came of the answer to what was asked last.
        self._has_heard = False

    async def ask(self, request: h11.Request, body: bytes) -> h11.Response:
        """Send a request and return the head of its answer."""
        sending = [request, h11.Data(data=body), h11.EndOfMessage()]
        await self.stream.send_all(b"".join(self._state.send(event) or b"" for event in sending))
        while True:
            event = await self._next_event()
            if isinstance(event, h11.Response):
                return event

    async def ask_again(self, request: h11.Request, body: bytes) -> h11.Response | None:
        """As `ask` on a kept connection; None if the server had closed it meanwhile."""
        try:
            return await self.ask(request, body)
        except _FAILURES:
            if self._has_heard:
                raise
            await trio.aclose_forcefully(self.stream)
            return None

    async def read_body(self) -> bytes:
        """Return some of the body, nothing at its end."""
        event = await self._next_event()
        return bytes(event.data) if isinstance(event, h11.Data) else b""

    async def _next_event(self) -> object:
        while (event := self._state.next_event()) is h11.NEED_DATA:
            received = await self.stream.receive_some(_RECEIVE_BYTES)
            self._has_heard = self._has_heard or bool(received)
            self._state.receive_data(received)
        return event

    def make_ready(self) -> bool:
        """Return whether another request may follow on this connection."""
        if self._state.our_state is h11.DONE and self._state.their_state is h11.DONE:
            self._state.start_next_cycle()
            self._has_heard = False
            return True
        return False


@contextmanager
def _bounded(timeout_s: float) -> Iterator[None]:
    """Turn silence, and whatever breaks on the way, into Unreachable."""
    try:
        with trio.fail_after(max(timeout_s, 0.0)):
            yield
    except trio.TooSlowError:
        raise Unreachable("the upstream is silent") from None
    except _FAILURES as error:
        raise Unreachable(f"the upstream broke off: {error}") from error
