"""Streams: frames in become inputs and frames go out, each stream with a task that reads.

A frame is sent at once if its stream has room, else by a second task for as long as some wait.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count

import structlog
import trio

from p2p_modelex.core.effects import CloseStream, OpenStream, ResetStream, Send, StreamId
from p2p_modelex.core.inputs import (
    FrameReceived,
    Input,
    StreamEnded,
    StreamFailed,
    StreamOpened,
    StreamReady,
)
from p2p_modelex.errors import DialFailed, NetworkError, RemoteProtocolError, StreamClosed
from p2p_modelex.net.abc import Network, Stream

SEND_QUEUE_FRAMES = 256
SEND_QUEUE_BYTES = 1024 * 1024
"""Frames waiting on one stream, and their bytes. A peer that lets more pile up is not reading: it
is reset. One frame may always wait, whatever its size.
"""

BACKGROUND_PAUSE_MAX_S = 0.05
"""After a frame of a background protocol that a stranger's stream brought, the next one waits for
as long as this one took, and no longer than this: such work takes half of our time at most.
"""

DIAL_TIMEOUT_S = 20.0
CLOSE_TIMEOUT_S = 5.0
LINGER_S = 15.0
"""How long what was queued before a close may take to go out."""

Tell = Callable[[Input], Awaitable[None]]
log = structlog.get_logger(__name__)


@dataclass
class _Open:
    """One live stream, and the frames that wait since it had no room for them."""

    stream: Stream
    frames: deque[bytes] = field(default_factory=deque)
    waiting_bytes: int = 0
    # Cancelled to end the stream: both as they are, `reading` by who closes it or is done writing.
    reading: trio.CancelScope = field(default_factory=trio.CancelScope)
    writing: trio.CancelScope = field(default_factory=trio.CancelScope)
    is_writing: bool = False
    is_closing: bool = False
    is_reset: bool = False

    def cut(self) -> None:
        """End it without sending what waits."""
        self.is_reset = True
        self.reading.cancel()


class Streams:
    """Carries out the stream effects of a core on a network."""

    def __init__(
        self,
        network: Network,
        tell: Tell,
        tell_in_turn: Tell,
        nursery: trio.Nursery,
        frame_limits: dict[str, int],
        background: frozenset[str],
    ) -> None:
        """tell_in_turn: as tell, and waits until the core has taken the input. background: the
        protocols of which the core gets one frame at a time, over all streams.
        """
        self._network = network
        self._tell = tell
        self._tell_in_turn = tell_in_turn
        self._background = background
        self._background_turn = trio.Lock()
        self._nursery = nursery
        self._frame_limits = frame_limits
        self._open: dict[StreamId, _Open] = {}
        self._dialling: dict[StreamId, trio.CancelScope] = {}
        self._numbers = count(1, 2)
        self._live = 0
        self._quiet = trio.Event()

    async def serve(self, stream: Stream) -> None:
        """Handle one inbound stream until it is over."""
        number = StreamId(next(self._numbers))
        await self._run(number, stream, StreamOpened(number, stream.peer, stream.protocol))

    async def wait_quiet(self) -> None:
        """Wait until every stream, also one being opened, is closed and its queue is sent."""
        while self._live or self._dialling:
            await self._quiet.wait()

    def open(self, effect: OpenStream) -> None:
        scope = self._dialling[effect.stream] = trio.CancelScope()
        self._nursery.start_soon(self._dial_and_run, effect, scope)

    def send(self, effect: Send) -> None:
        entry = self._open.get(effect.stream)
        if entry is None:
            return
        if not entry.is_writing and entry.stream.try_send_frame(effect.payload):
            return
        size = entry.waiting_bytes + len(effect.payload)
        is_full = entry.waiting_bytes > 0 and size > SEND_QUEUE_BYTES
        if is_full or len(entry.frames) >= SEND_QUEUE_FRAMES:
            log.warning("stream_reset", reason="the peer does not read", stream=effect.stream)
            entry.cut()
            return
        entry.frames.append(effect.payload)
        entry.waiting_bytes = size
        if not entry.is_writing:
            entry.is_writing, entry.writing = True, trio.CancelScope()
            self._nursery.start_soon(self._write, entry)

    def close(self, effect: CloseStream) -> None:
        entry = self._open.pop(effect.stream, None)
        if entry is None:
            self._cancel_dial(effect.stream)
        elif entry.is_writing:
            entry.is_closing = True
            entry.reading.deadline = trio.current_time() + LINGER_S
        else:
            entry.reading.cancel()

    def reset(self, effect: ResetStream) -> None:
        entry = self._open.pop(effect.stream, None)
        if entry is None:
            self._cancel_dial(effect.stream)
        else:
            entry.cut()

    def _cancel_dial(self, number: StreamId) -> None:
        scope = self._dialling.pop(number, None)
        if scope is not None:
            scope.cancel()

    async def _dial_and_run(self, effect: OpenStream, scope: trio.CancelScope) -> None:
        stream: Stream | None = None
        reason = "the peer did not answer in time"
        with scope, trio.move_on_after(DIAL_TIMEOUT_S):
            try:
                stream = await self._dial(effect)
            except NetworkError as error:
                reason = str(error)
        is_wanted = self._dialling.pop(effect.stream, None) is not None
        if stream is not None and is_wanted:
            await self._run(effect.stream, stream, StreamReady(effect.stream))
            return
        if stream is not None:
            await stream.reset()
        elif is_wanted:
            await self._tell(StreamFailed(effect.stream, reason))
        self._on_quieter()

    async def _dial(self, effect: OpenStream) -> Stream:
        try:
            await self._network.dial(effect.peer, effect.addresses)
        except DialFailed as failed:
            await self._network.dial(effect.peer, await self._look_up(effect, failed))
        limit = self._frame_limits[effect.protocol]
        return await self._network.open_stream(effect.peer, effect.protocol, frame_limit=limit)

    async def _look_up(self, effect: OpenStream, failed: DialFailed) -> tuple[str, ...]:
        """Ask the DHT where a peer went since it advertised; raises `failed` if that is no news."""
        try:
            found = await self._network.find_peer(effect.peer)
        except NetworkError:
            raise failed from None
        if set(found) <= set(effect.addresses):
            raise failed
        return found

    async def _run(self, number: StreamId, stream: Stream, first: Input) -> None:
        """Serve a stream to its end. It is known before `first` tells the core of it."""
        entry = self._open[number] = _Open(stream)
        self._live += 1
        ended = StreamEnded(number, clean=False, reason="reset")
        try:
            await self._tell(first)
            with entry.reading:
                ended = await self._read(number, stream)
                if ended.clean:
                    if self._open.get(number) is entry:
                        await self._tell(ended)
                    # The core may go on writing; closing ends this.
                    await trio.sleep_forever()
        finally:
            was_open = self._open.pop(number, None) is not None
            is_cut = entry.is_reset or entry.is_writing
            entry.writing.cancel()
            with trio.CancelScope(shield=True), trio.move_on_after(CLOSE_TIMEOUT_S):
                await (stream.reset() if is_cut else stream.aclose())
            self._live -= 1
            self._on_quieter()
        if was_open and not ended.clean:
            await self._tell(ended)

    def _on_quieter(self) -> None:
        self._quiet.set()
        self._quiet = trio.Event()

    async def _write(self, entry: _Open) -> None:
        """Send the frames that wait; then, where the stream was closed meanwhile, end it."""
        try:
            with entry.writing:
                while entry.frames:
                    await entry.stream.send_frame(entry.frames[0])
                    entry.waiting_bytes -= len(entry.frames.popleft())
                entry.is_writing = False
                if entry.is_closing:
                    entry.reading.cancel()
        except NetworkError as error:
            log.debug("stream_write_failed", reason=str(error))
            entry.is_writing = False
            entry.reading.cancel()

    async def _read(self, number: StreamId, stream: Stream) -> StreamEnded:
        try:
            while True:
                frame = FrameReceived(number, await stream.receive_frame())
                if stream.protocol in self._background:
                    await self._tell_when_quiet(frame)
                else:
                    await self._tell_in_turn(frame)
        except StreamClosed:
            return StreamEnded(number, clean=True, reason="")
        except (NetworkError, RemoteProtocolError) as error:
            return StreamEnded(number, clean=False, reason=str(error))

    async def _tell_when_quiet(self, frame: FrameReceived) -> None:
        """Let background frames in one by one, so that jobs and money wait for one at most."""
        async with self._background_turn:
            began = trio.current_time()
            await self._tell_in_turn(frame)
            if frame.stream % 2:  # opened by a peer
                await trio.sleep(min(trio.current_time() - began, BACKGROUND_PAUSE_MAX_S))
