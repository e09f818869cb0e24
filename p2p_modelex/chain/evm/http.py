"""HTTP/1.1 POST over Trio and h11: a few kept connections to one host, answers of bounded size.

h11 on a Trio stream costs a third of httpx's CPU a call, and leaves no half-finished asynchronous
generators behind when an answer is cut off (httpx does, and Trio warns of each).
"""

import ssl
from urllib.parse import urlsplit

import h11
import trio

from p2p_modelex.errors import ConfigurationError
from p2p_modelex.limits import KIB

CONNECTIONS = 8
_RECEIVE_BYTES = 64 * KIB

# What a call may end with when the endpoint or the way to it fails.
FAILURES = (OSError, trio.BrokenResourceError, h11.RemoteProtocolError)


class TooLarge(Exception):
    """The answer is over the bound; nothing more of it was read."""


class _Connection:
    def __init__(self, stream: trio.abc.Stream, socket: trio.socket.SocketType) -> None:
        self.stream = stream
        self.socket = socket
        self.state = h11.Connection(h11.CLIENT)

    async def exchange(self, request: h11.Request, body: bytes, limit: int) -> tuple[int, bytes]:
        sending = [request, h11.Data(data=body), h11.EndOfMessage()]
        await self.stream.send_all(b"".join(self.state.send(event) or b"" for event in sending))
        status, received = 0, bytearray()
        while True:
            event = self.state.next_event()
            if event is h11.NEED_DATA:
                self.state.receive_data(await self.stream.receive_some(_RECEIVE_BYTES))
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                received += event.data
                if len(received) > limit:
                    raise TooLarge
            elif isinstance(event, h11.EndOfMessage):
                return status, bytes(received)
            elif isinstance(event, h11.ConnectionClosed):
                raise h11.RemoteProtocolError("closed without an answer")

    def make_ready(self) -> bool:
        """Return whether another request may follow on this connection."""
        if self.state.our_state is h11.DONE and self.state.their_state is h11.DONE:
            self.state.start_next_cycle()
            return True
        return False


class HttpEndpoint:
    """POSTs JSON to one URL. Not to be used after `aclose`. No proxies, no redirects."""

    def __init__(self, url: str) -> None:
        """Raise ConfigurationError if `url` is not http(s)."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(
                f"not an HTTP endpoint: {url[:100]!r}", hint="give a URL such as http://host:8545"
            )
        self._host = parts.hostname
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._port = port or (443 if self._tls else 80)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        # Keys of paid endpoints are in the path; errors and logs get this name only.
        self.name = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._host_header = parts.netloc.rpartition("@")[2]
        self._limiter = trio.CapacityLimiter(CONNECTIONS)
        self._idle: list[_Connection] = []

    async def post(self, body: bytes, limit: int) -> tuple[int, bytes]:
        """Return status and content. Raises one of FAILURES, or TooLarge over `limit` bytes."""
        async with self._limiter:
            connection = self._take_idle() or await self._connect()
            try:
                answer = await connection.exchange(self._build_request(body), body, limit)
                if connection.make_ready():
                    self._idle.append(connection)
                    return answer
            except BaseException:
                await trio.aclose_forcefully(connection.stream)
                raise
            await trio.aclose_forcefully(connection.stream)
            return answer

    async def aclose(self) -> None:
        while self._idle:
            await trio.aclose_forcefully(self._idle.pop().stream)

    def _take_idle(self) -> _Connection | None:
        """Return a kept connection; one that is readable while idle was closed by the host."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.socket.is_readable():
                return connection
            connection.socket.close()
        return None

    async def _connect(self) -> _Connection:
        tcp = await trio.open_tcp_stream(self._host, self._port)
        if self._tls is None:
            return _Connection(tcp, tcp.socket)
        stream = trio.SSLStream(tcp, self._tls, server_hostname=self._host, https_compatible=True)
        return _Connection(stream, tcp.socket)

    def _build_request(self, body: bytes) -> h11.Request:
        headers = [
            ("host", self._host_header),
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
        ]
        return h11.Request(method="POST", target=self._target, headers=headers)
