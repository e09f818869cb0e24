"""HTTP/1.1 to one host over Trio and h11: connections that are kept, and what h11 knows of them.

h11 on a Trio stream costs a third of httpx's CPU a call, and leaves no half-finished asynchronous
generators behind when an answer is cut off (httpx does, and Trio warns of each). No proxies, no
redirects.
"""

import os
import re
import ssl
from contextlib import suppress
from urllib.parse import urlsplit

import h11
import trio

from p2p_modelex.errors import ConfigurationError
from p2p_modelex.limits import KIB

IDLE_MAX = 64
_RECEIVE_BYTES = 64 * KIB

FAILURES = (OSError, trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError)
"""What a call may end with when the host or the way to it fails."""

_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")


def join_chunks(raw: bytes) -> bytes:
    """Return the content of chunks (RFC 9112, 7.1); nothing if it is not whole ones alone, or the
    last one is among them, or one has extensions.
    """
    contents, at = [], 0
    while at < len(raw):
        head = _CHUNK.match(raw, at)
        if head is None:
            return b""
        begin, size = head.end(), int(head[1], 16)
        end = begin + size
        at = end + 2
        if not size or raw[end:at] != b"\r\n":
            return b""
        contents.append(raw[begin:end])
    return b"".join(contents)


class Connection:
    """One connection. has_heard: whether anything came of the answer to what was asked last."""

    def __init__(self, stream: trio.abc.Stream, socket: trio.socket.SocketType) -> None:
        self.stream = stream
        self.socket = socket
        self._state = h11.Connection(h11.CLIENT)
        self._rest = b""
        # Whether chunks follow of which h11 has seen nothing.
        self._is_chunked = False
        self.has_heard = False

    @property
    def is_stale(self) -> bool:
        """Whether it is readable while idle: the host has closed it."""
        return self.socket.is_readable()

    async def send(self, request: h11.Request, body: bytes) -> None:
        """Send a request, whole."""
        sending = (request, h11.Data(data=body), h11.EndOfMessage())
        await self.stream.send_all(b"".join(self._state.send(event) or b"" for event in sending))

    async def receive(self) -> object:
        """Return what comes next of the answer, an event of h11's."""
        while (event := self._state.next_event()) is h11.NEED_DATA:
            received = await self._read()
            if self._state.their_state is h11.SEND_RESPONSE:
                # What follows a head is kept back, for `receive_body`.
                head, mark, self._rest = received.partition(b"\r\n\r\n")
                received = head + mark
            self._state.receive_data(received)
        if isinstance(event, h11.Response):
            is_chunked = (b"transfer-encoding", b"chunked") in list(event.headers)
            is_unseen = event.status_code == 200 and not self._state.trailing_data[0]
            self._is_chunked = is_chunked and is_unseen
        return event

    async def receive_body(self) -> bytes:
        """Return what came of the body, nothing at its end."""
        if self._is_chunked:
            # A token's chunk nearly always comes whole and alone. To be told of it by h11 was a
            # tenth of what a token costs, and leaves h11 as it is: before the next chunk.
            received = await self._read()
            if content := join_chunks(received):
                return content
            self._is_chunked = False
            self._state.receive_data(received)
        event = await self.receive()
        return bytes(event.data) if isinstance(event, h11.Data) else b""

    async def _read(self) -> bytes:
        received, self._rest = self._rest, b""
        if not received:
            received = await self._receive_some()
            self.has_heard = self.has_heard or bool(received)
        return received

    async def _receive_some(self) -> bytes:
        if not isinstance(self.stream, trio.SocketStream):
            return await self.stream.receive_some(_RECEIVE_BYTES)
        # Trio looks whether something is there before it waits, which a token never is.
        while True:
            await trio.lowlevel.wait_readable(self.socket.fileno())
            with suppress(BlockingIOError):
                return os.read(self.socket.fileno(), _RECEIVE_BYTES)

    def make_ready(self) -> bool:
        """Return whether another request may follow on this connection."""
        is_over = self._state.our_state is h11.DONE and self._state.their_state is h11.DONE
        if not is_over or self._rest or self._state.trailing_data[0]:
            return False  # what came after an answer would be taken for that of the next request
        self._state.start_next_cycle()
        self.has_heard = False
        return True

    async def close(self) -> None:
        """Hang up."""
        await trio.aclose_forcefully(self.stream)


class Host:
    """Where a URL leads, and the connections to it that are idle.

    name: for errors and logs, without the path, which holds the keys of paid endpoints. header: for
    `host`. path: with the query.
    """

    def __init__(self, url: str, *, hint: str) -> None:
        """Raise ConfigurationError, with the hint, if `url` is not http(s)."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(f"not the URL of an HTTP server: {url[:100]!r}", hint=hint)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._host = parts.hostname
        self._port = port or (443 if self._tls else 80)
        self.header = parts.netloc.rpartition("@")[2]
        self.name = f"{parts.scheme}://{self.header}"
        self.path = parts.path + (f"?{parts.query}" if parts.query else "")
        self.has_password = parts.username is not None or parts.password is not None
        self.idle: list[Connection] = []

    async def take_idle(self) -> Connection | None:
        """Return a kept connection that the host has not closed, None if there is none."""
        while self.idle:
            connection = self.idle.pop()
            if not connection.is_stale:
                return connection
            await connection.close()
        return None

    async def connect(self) -> Connection:
        """Return a new connection. Raises one of FAILURES."""
        tcp = await trio.open_tcp_stream(self._host, self._port)
        if self._tls is None:
            return Connection(tcp, tcp.socket)
        stream = trio.SSLStream(tcp, self._tls, server_hostname=self._host, https_compatible=True)
        return Connection(stream, tcp.socket)

    async def keep_or_close(self, connection: Connection) -> None:
        """Keep a connection for the next request, if one may follow on it."""
        if connection.make_ready() and len(self.idle) < IDLE_MAX:
            self.idle.append(connection)
        else:
            await connection.close()

    async def aclose(self) -> None:
        """Close the kept connections."""
        while self.idle:
            await self.idle.pop().close()
