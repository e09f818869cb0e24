"""HTTP/1.1 on h11 and Trio, one request at a time on a connection, bounded in everything.

A connection has two tasks: one reads, so that it sees at once when the other side goes, the other
answers. No task is started for a request or a piece of an answer.
"""

from collections.abc import Awaitable, Callable, Sequence

import h11
import trio

from p2p_modelex.limits import KIB, MIB
from p2p_modelex.node.gateway.heads import (
    BODY_BYTES,
    HttpRequest,
    build_request,
    check_head,
    too_large,
)
from p2p_modelex.node.gateway.refusal import Refusal
from p2p_modelex.node.gateway.wire import BROKEN, JSON, Wire

HEAD_BYTES = 32 * KIB
IDLE_S = 75.0
"""A kept connection may be silent for this long between requests."""
REQUEST_S = 20.0
"""A request must be whole this long after its first byte."""
DRAIN_S = 2.0
DRAIN_BYTES = 8 * MIB
_RECEIVE_BYTES = 64 * KIB

Answer = Callable[[HttpRequest, Wire], Awaitable[None]]


class HttpServer:
    """Gives every request to `answer`, which must answer it on its wire and raise nothing."""

    def __init__(self, answer: Answer, connections_max: int) -> None:
        self._answer = answer
        self._connections_max = connections_max
        self._connections = 0
        # Between requests, the longest so first: they make room for others.
        self._idle: dict[_Connection, None] = {}

    async def serve(self, listeners: Sequence[trio.SocketListener]) -> None:
        """Serve until cancelled."""
        await trio.serve_listeners(self._serve_connection, list(listeners))

    async def _serve_connection(self, stream: trio.SocketStream) -> None:
        async with stream:
            connection = _Connection(stream, self._answer, self._idle)
            self._connections += 1
            try:
                if self._connections > self._connections_max and not self._make_room():
                    message = f"there are {self._connections_max} connections already"
                    await connection.turn_away(Refusal(503, "busy", message, retry_after_s=1))
                else:
                    await connection.run()
            finally:
                self._connections -= 1
                self._idle.pop(connection, None)

    def _make_room(self) -> bool:
        """Close a connection that is idle; return whether there was one."""
        for connection in self._idle:
            del self._idle[connection]
            connection.close()
            return True
        return False


class _Connection:
    def __init__(
        self, stream: trio.SocketStream, answer: Answer, idle: "dict[_Connection, None]"
    ) -> None:
        """idle: where it stands while it waits for a request."""
        self._stream = stream
        self._answer = answer
        self._idle = idle
        self._scope = trio.CancelScope()
        self._is_local = _is_loopback(stream)
        self._state = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)
        # Nothing waits in it: who sends more than one request is read from when it is its turn.
        self._arriving, self._arrived = trio.open_memory_channel[bytes](0)
        self._wire = Wire(stream, self._state)
        self._has_begun = False
        self._deadline = 0.0

    async def run(self) -> None:
        """Answer requests until one side has had enough."""
        with self._scope:
            await self._run()

    def close(self) -> None:
        """End it now."""
        self._scope.cancel()

    async def _run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read)
            while await self._serve_one():
                self._state.start_next_cycle()
                self._wire = Wire(self._stream, self._state)
            nursery.cancel_scope.cancel()

    async def turn_away(self, refusal: Refusal) -> None:
        """Answer whatever comes with an error."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read)
            await self._refuse(refusal)
            nursery.cancel_scope.cancel()

    async def _read(self) -> None:
        async with self._arriving:
            try:
                while received := await self._stream.receive_some(_RECEIVE_BYTES):
                    await self._arriving.send(received)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
        await self._wire.leave()

    async def _serve_one(self) -> bool:
        """Serve one request; return whether another may follow."""
        try:
            request = await self._receive()
        except Refusal as refusal:
            await self._refuse(refusal)
            return False
        if request is None:
            return False
        await self._answer(request, self._wire)
        is_over = self._state.our_state is h11.DONE and self._state.their_state is h11.DONE
        return is_over and not self._wire.is_gone

    async def _receive(self) -> HttpRequest | None:
        """Return the next request, None if there is none. Raises Refusal for one that is wrong."""
        head: h11.Request | None = None
        body: list[bytes] = []
        left = BODY_BYTES
        self._begin_waiting()
        while True:
            event = self._next_event()
            if event is h11.NEED_DATA:
                await self._receive_more()
            elif isinstance(event, h11.Request):
                head = event
                check_head(head)
                self._wire.is_bodiless = head.method == b"HEAD"
            elif isinstance(event, h11.Data):
                left -= len(event.data)
                if left < 0:
                    raise too_large()
                body.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                return build_request(head, b"".join(body), self._is_local)
            else:
                return None

    def _next_event(self) -> object:
        try:
            return self._state.next_event()
        except h11.RemoteProtocolError as error:
            status, reason = error.error_status_hint, f"not a request of HTTP/1.1: {error}"
            raise Refusal(status, "malformed_http", reason) from error

    def _begin_waiting(self) -> None:
        # What is there already was sent together with the request before.
        self._has_begun = bool(self._state.trailing_data[0])
        if not self._has_begun:
            self._idle[self] = None
        self._deadline = trio.current_time() + (REQUEST_S if self._has_begun else IDLE_S)

    async def _receive_more(self) -> None:
        if self._state.they_are_waiting_for_100_continue:
            await self._wire.invite()
        received = b""
        with trio.CancelScope(deadline=self._deadline) as scope:
            try:
                received = await self._arrived.receive()
            except trio.EndOfChannel:
                received = b""
        if scope.cancelled_caught and self._has_begun:
            message = f"the request was not whole after {REQUEST_S:.0f} s"
            raise Refusal(408, "request_timeout", message)
        if not self._has_begun:
            self._idle.pop(self, None)
            self._has_begun, self._deadline = True, trio.current_time() + REQUEST_S
        self._state.receive_data(received)

    async def _refuse(self, refusal: Refusal) -> None:
        """Say so and close, once the other side has had time to read it."""
        if self._state.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        headers = (*JSON, *refusal.headers, ("connection", "close"))
        await self._wire.respond(refusal.status, headers, refusal.body)
        # To close with data unread resets the connection, and the answer may be lost with it.
        with trio.move_on_after(DRAIN_S):
            try:
                await self._stream.send_eof()
                left = DRAIN_BYTES
                async for received in self._arrived:
                    left -= len(received)
                    if left < 0:
                        return
            except BROKEN:
                return


def _is_loopback(stream: trio.SocketStream) -> bool:
    try:
        host = str(stream.socket.getpeername()[0])
    except OSError:
        return False  # gone already
    return host in ("127.0.0.1", "::1", "::ffff:127.0.0.1")
