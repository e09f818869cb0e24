"""Asking one server: bounded answers, streamed or whole (benchmarks/upstream.py has the cost)."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager

import h11
import msgspec
import trio

from p2p_modelex.errors import ConfigurationError, EngineError
from p2p_modelex.kept import FAILURES, Connection, Host
from p2p_modelex.limits import KIB, MIB

BODY_BYTES = 4 * MIB
"""The largest answer that is read whole: token ids of the longest prompt, or a long vector."""

ERROR_BYTES = 16 * KIB
"""What is read of an answer that says what went wrong."""

CONNECT_TIMEOUT_S = 10.0
_HINT = "give the URL of an API, such as http://127.0.0.1:8000/v1"


class Unreachable(EngineError):
    """The server, or the way to it, failed: no connection, a broken one, no HTTP, or silence."""


class Answer:
    """The beginning of an answer; its body comes as it is read."""

    def __init__(self, response: h11.Response, connection: Connection) -> None:
        self.status = response.status_code
        self._headers = response.headers
        self._connection = connection

    def get_header(self, name: bytes) -> str:
        """Return a header by its lower-case name, empty if there is none."""
        found = next((value for key, value in self._headers if key == name), b"")
        return found.decode("latin-1")

    async def read_some(self, timeout_s: float) -> bytes:
        """Return what came of the body, nothing at its end; Unreachable after `timeout_s`."""
        try:
            with trio.move_on_after(max(timeout_s, 0.0)):
                return await self._connection.receive_body()
        except FAILURES as error:
            raise _broken(error) from error
        raise _silent()

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
    """Talks to one server. Not to be used after `aclose`.

    url: where its API begins, such as http://127.0.0.1:8000/v1. key: sent as a bearer token, or
    empty. Raises ConfigurationError for a URL that is none.
    """

    def __init__(self, url: str, key: str) -> None:
        self._host = Host(url, hint=_HINT)
        if "?" in self._host.path:
            raise ConfigurationError(f"an API's URL has no query: {url[:100]!r}", hint=_HINT)
        if self._host.has_password:
            raise ConfigurationError(
                "the URL holds a password", hint="give the key by api_key_file instead"
            )
        self.base = self._host.path.rstrip("/")
        self.root = self.base.removesuffix("/v1")
        """Where servers have what OpenAI's API has not, such as /tokenize."""
        self.name = self._host.name
        self._headers = [("host", self._host.header), ("accept", "*/*")]
        self._key = key
        if key:
            self._headers.append(("authorization", f"Bearer {key}"))

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
        connection: Connection | None = None
        try:
            with _bounded(timeout_s):
                request = self._build_request(target, encoded)
                connection, response = await self._host.take_idle(), None
                if connection is not None:
                    response = await _ask_again(connection, request, encoded)
                if connection is None or response is None:
                    connection = await self._connect()
                    response = await _ask(connection, request, encoded)
            yield Answer(response, connection)
            left, connection = connection, None
            await self._host.keep_or_close(left)
        finally:
            if connection is not None:
                await connection.close()

    async def aclose(self) -> None:
        """Close the kept connections."""
        await self._host.aclose()

    async def _connect(self) -> Connection:
        with trio.move_on_after(CONNECT_TIMEOUT_S):
            return await self._host.connect()
        raise Unreachable(f"no connection within {CONNECT_TIMEOUT_S:g} s")

    def _build_request(self, target: str, body: bytes) -> h11.Request:
        headers = self._headers
        if body:
            size = ("content-length", str(len(body)))
            headers = [*headers, ("content-type", "application/json"), size]
        return h11.Request(method="POST" if body else "GET", target=target, headers=headers)


async def _ask(connection: Connection, request: h11.Request, body: bytes) -> h11.Response:
    """Send a request and return the head of its answer."""
    await connection.send(request, body)
    while not isinstance(event := await connection.receive(), h11.Response):
        pass  # informational
    return event


async def _ask_again(
    connection: Connection, request: h11.Request, body: bytes
) -> h11.Response | None:
    """As `_ask` on a kept connection; None if the server had closed it meanwhile."""
    try:
        return await _ask(connection, request, body)
    except FAILURES:
        if connection.has_heard:
            raise
        await connection.close()
        return None


@contextmanager
def _bounded(timeout_s: float) -> Iterator[None]:
    """Turn silence, and whatever breaks on the way, into Unreachable."""
    try:
        with trio.fail_after(max(timeout_s, 0.0)):
            yield
    except trio.TooSlowError:
        raise _silent() from None
    except FAILURES as error:
        raise _broken(error) from error


def _silent() -> Unreachable:
    return Unreachable("the upstream is silent")


def _broken(error: Exception) -> Unreachable:
    return Unreachable(f"the upstream broke off: {error}")
