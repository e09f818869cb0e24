"""JSON-RPC over HTTP/1.1 on loopback: bounded in connections, sizes and time."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import h11
import trio

from p2p_modelex.chain.pyevm.envelope import Answer, decode
from p2p_modelex.limits import KIB, MIB

HOST = "127.0.0.1"
CONNECTIONS_MAX = 64
REQUEST_BYTES = 4 * MIB  # the largest redemption is 0.3 MiB in hex
IDLE_S = 60.0  # for a request to come whole, too
SEND_S = 30.0
_RECEIVE_BYTES = 64 * KIB

# What a connection may end with: the caller broke off, stopped reading, or spoke something else.
_FAILURES = (trio.BrokenResourceError, trio.TooSlowError, h11.RemoteProtocolError)


class _TooLarge(Exception):
    pass


async def listen(port: int) -> Sequence[trio.SocketListener]:
    """Listen on 127.0.0.1:`port`, 0 for a free one. Raises OSError if it is taken."""
    return await trio.open_tcp_listeners(port, host=HOST)


class RpcServer:
    """Serves one `answer` function, one request at a time, off the event loop."""

    def __init__(self, answer: Callable[[Any], Answer]) -> None:
        """answer: a decoded request to its answer; may block, and need not be thread-safe."""
        self._answer = answer
        self._connections = 0
        self.lock = trio.Lock()
        """Held while `answer` runs, for others who touch what it touches."""

    async def serve(self, listeners: Sequence[trio.SocketListener]) -> None:
        """Serve until cancelled."""
        await trio.serve_listeners(self._serve_connection, listeners)

    async def _serve_connection(self, stream: trio.SocketStream) -> None:
        async with stream:
            state = h11.Connection(h11.SERVER)
            self._connections += 1
            try:
                if self._connections > CONNECTIONS_MAX:
                    await _respond(stream, state, 503, b"")
                    return
                while await self._serve_request(stream, state):
                    state.start_next_cycle()
            except _FAILURES:
                pass
            finally:
                self._connections -= 1

    async def _serve_request(self, stream: trio.SocketStream, state: h11.Connection) -> bool:
        """Serve one request; return whether another may follow."""
        body = None
        with trio.move_on_after(IDLE_S):
            try:
                body = await _receive(stream, state)
            except _TooLarge:
                await _respond(stream, state, 413, b"")
                return False
        if body is None:
            return False
        await _respond(stream, state, 200, await self._answer_all(body))
        return state.our_state is h11.DONE and state.their_state is h11.DONE

    async def _answer_all(self, body: bytes) -> bytes:
        decoded = decode(body)
        if isinstance(decoded, dict):
            return json.dumps(decoded).encode()
        requests, is_batch = decoded
        answers = []
        for request in requests:
            async with self.lock:  # for each, so that a long batch does not keep others waiting
                answers.append(await trio.to_thread.run_sync(self._answer, request))
        return json.dumps(answers if is_batch else answers[0]).encode()


async def _receive(stream: trio.SocketStream, state: h11.Connection) -> bytes | None:
    """Return a request's body, None at the end of the connection; _TooLarge over the bound."""
    body = bytearray()
    while True:
        event = state.next_event()
        if event is h11.NEED_DATA:
            state.receive_data(await stream.receive_some(_RECEIVE_BYTES))
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > REQUEST_BYTES:
                raise _TooLarge
        elif isinstance(event, h11.EndOfMessage):
            return bytes(body)
        elif isinstance(event, h11.ConnectionClosed):
            return None


async def _respond(
    stream: trio.SocketStream, state: h11.Connection, status: int, body: bytes
) -> None:
    headers = [("content-type", "application/json"), ("content-length", str(len(body)))]
    if status != 200:
        headers.append(("connection", "close"))
    response = h11.Response(status_code=status, headers=headers)
    sending = (response, h11.Data(data=body), h11.EndOfMessage())
    with trio.fail_after(SEND_S):
        await stream.send_all(b"".join(state.send(event) or b"" for event in sending))
