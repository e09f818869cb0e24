"""POSTs to a JSON-RPC endpoint: a few connections, answers of bounded size."""

import h11
import trio

from p2p_modelex.kept import Connection, Host

CONNECTIONS = 8


class TooLarge(Exception):
    """The answer is over the bound; nothing more of it was read."""


class HttpEndpoint:
    """POSTs JSON to one URL. Not to be used after `aclose`."""

    def __init__(self, url: str) -> None:
        """Raise ConfigurationError if `url` is not http(s)."""
        self._host = Host(url, hint="give a URL such as http://host:8545")
        self.name = self._host.name
        self._target = self._host.path if self._host.path.startswith("/") else f"/{self._host.path}"
        self._limiter = trio.CapacityLimiter(CONNECTIONS)

    async def post(self, body: bytes, limit: int) -> tuple[int, bytes]:
        """Return status and content. Raises one of kept.FAILURES, or TooLarge over `limit`."""
        async with self._limiter:
            connection = await self._host.take_idle() or await self._host.connect()
            try:
                await connection.send(self._build_request(body), body)
                answer = await _receive(connection, limit)
            except BaseException:
                await connection.close()
                raise
            await self._host.keep_or_close(connection)
            return answer

    async def aclose(self) -> None:
        """Close the kept connections."""
        await self._host.aclose()

    def _build_request(self, body: bytes) -> h11.Request:
        headers = [
            ("host", self._host.header),
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
        ]
        return h11.Request(method="POST", target=self._target, headers=headers)


async def _receive(connection: Connection, limit: int) -> tuple[int, bytes]:
    status, received = 0, bytearray()
    while True:
        event = await connection.receive()
        if isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            received += event.data
            if len(received) > limit:
                raise TooLarge
        elif isinstance(event, h11.EndOfMessage):
            return status, bytes(received)
        elif isinstance(event, h11.ConnectionClosed):
            raise h11.RemoteProtocolError("closed without an answer")
