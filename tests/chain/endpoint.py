"""A JSON-RPC endpoint on loopback whose answers a test scripts, good and bad."""

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import h11
import trio

Answer = Callable[[Any], bytes | None]
"""Takes the decoded request; returns the raw HTTP response, or None to say nothing for ever."""


class FakeEndpoint:
    """Counts the requests it got; `answer` may be replaced while it runs."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[Any] = []
        self.url = ""

    async def _serve(self, stream: trio.SocketStream) -> None:
        async with stream:
            connection = h11.Connection(h11.SERVER)
            body = b""
            while True:
                event = connection.next_event()
                if event is h11.NEED_DATA:
                    connection.receive_data(await stream.receive_some())
                elif isinstance(event, h11.Data):
                    body += bytes(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    break
                elif isinstance(event, h11.ConnectionClosed):
                    return
            request = json.loads(body)
            self.requests.append(request)
            response = self.answer(request)
            if response is None:
                await trio.sleep_forever()
            else:
                await stream.send_all(response)


def http(body: bytes, status: int = 200) -> bytes:
    """Return an HTTP response that closes the connection after it."""
    head = f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    return head.encode() + body


def result(request: Any, value: Any) -> bytes:
    """Return the answer with a result to a single request."""
    return http(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": value}).encode())


def error(request: Any, code: int, message: str, data: Any = None) -> bytes:
    """Return the answer with an error to a single request."""
    fault = {"code": code, "message": message, "data": data}
    return http(json.dumps({"jsonrpc": "2.0", "id": request["id"], "error": fault}).encode())


@asynccontextmanager
async def fake_endpoint(answer: Answer) -> AsyncGenerator[FakeEndpoint, None]:
    """Serve `answer` on a free port of 127.0.0.1 until the block ends."""
    endpoint = FakeEndpoint(answer)
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    endpoint.url = f"http://127.0.0.1:{port}"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, endpoint._serve, [listener])
        yield endpoint
        nursery.cancel_scope.cancel()
