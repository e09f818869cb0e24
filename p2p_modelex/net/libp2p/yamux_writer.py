"""What a connection has to say: one bounded queue of whole Yamux frames, written out in order.

Sending is synchronous: a frame is put whole into the queue or not at all, and goes to the
connection at once where that takes it. So a cancelled sender can tear neither its stream nor the
connection.
"""

from collections.abc import Callable
from typing import Any

import trio

from p2p_modelex.limits import KIB
from p2p_modelex.net.libp2p.muxed_stream import HEADER, YamuxViolation

# Writers wait while more than this is queued: about one window.
QUEUE_BYTES = 256 * KIB
# Control frames do not wait; a peer that makes us queue more than this does not read: cut it off.
QUEUE_BYTES_MAX = QUEUE_BYTES + 128 * KIB
# A TCP write that makes no progress for this long means a dead peer.
WRITE_STALL_S = 60.0


class YamuxWriter:
    """Writes frames to a connection, from `start` to `stop`; before, they are queued.

    on_broken: called with why it must end, from within whatever sends; it is to `stop` this.
    """

    def __init__(self, secured_conn: Any, on_broken: Callable[[Exception], None]) -> None:
        self._secured_conn = secured_conn
        self._on_broken = on_broken
        # Frames not yet given to the connection, and whether more are about to be queued.
        self._queue: list[bytes | memoryview] = []
        self._queued_bytes = 0
        self._is_corked = False
        # Our channel takes bytes at once; any other connection only through the writing task.
        self._write_nowait = getattr(secured_conn, "write_nowait", None)
        self._writer = trio.lowlevel.ParkingLot()
        self._room = trio.lowlevel.ParkingLot()
        self._is_writing = False
        self._is_started = self._is_over = False

    def start(self, nursery: trio.Nursery) -> None:
        """Write from now on, in a task of the nursery where the connection does not take all."""
        self._is_started = True
        nursery.start_soon(self._write_for_ever)

    def stop(self) -> None:
        """Write nothing more, and let go who waits for room."""
        self._is_over = True
        self._queue.clear()
        self._queued_bytes = 0
        self._room.unpark_all()

    @property
    def has_room(self) -> bool:
        return self._queued_bytes < QUEUE_BYTES

    async def wait_room(self) -> None:
        """Wait until the queue may be written to again (not until it is empty)."""
        await self._room.park()

    async def flush(self) -> None:
        """Wait until all is written; at once if it was never started: nobody would write it."""
        while (self._queue or self._is_writing) and self._is_started and not self._is_over:
            await self._room.park()

    def cork(self) -> None:
        """Only queue what is sent, until `uncork`: so that it travels together."""
        self._is_corked = True

    def uncork(self) -> None:
        """Send at once again, what is queued first."""
        self._is_corked = False
        self._push()

    def send(
        self, kind: int, flags: int, stream_id: int, length: int, payload: bytes | memoryview = b""
    ) -> None:
        """Queue one frame, whole. Raises YamuxViolation if the peer lets the queue overflow."""
        if self._is_over:
            return
        if self._queued_bytes > QUEUE_BYTES_MAX:
            violation = YamuxViolation("the peer does not read what it asks for")
            self._on_broken(violation)
            raise violation
        self._queue.append(HEADER.pack(0, kind, flags, stream_id, length))
        if payload:
            self._queue.append(payload)
        self._queued_bytes += HEADER.size + len(payload)
        if not self._is_corked:
            self._push()

    def _push(self) -> None:
        """Hand what is queued to the connection: at once if it can, or wake the writing task."""
        if self._is_writing or not self._queue:
            return
        if self._write_nowait is not None and self._is_started:
            try:
                if self._write_nowait(self._take_queue()):
                    return
            except Exception as error:  # what sends is not to blame; its streams learn of it
                self._on_broken(error)
                return
        # From here on everything is queued behind what the writing task has.
        self._is_writing = True
        self._writer.unpark_all()

    def _take_queue(self) -> list[bytes | memoryview]:
        parts, self._queue = self._queue, []
        self._queued_bytes = 0
        return parts

    async def _write_for_ever(self) -> None:
        flush = getattr(self._secured_conn, "flush", None)
        self._push()
        while True:
            while not self._is_writing:
                await self._writer.park()
            with trio.fail_after(WRITE_STALL_S):
                if flush is not None:
                    await flush()
            while self._queue:
                with trio.fail_after(WRITE_STALL_S):
                    await self._secured_conn.write(b"".join(self._take_queue()))
                self._room.unpark_all()
            self._is_writing = False
            self._room.unpark_all()
