"""The streams that are open, and with whom: their number is bounded, their frames are counted."""

from collections.abc import Callable

from p2p_modelex.ids import PeerId
from p2p_modelex.net.libp2p.muxed_stream import MuxedStream
from p2p_modelex.net.libp2p.ping import PING_ID
from p2p_modelex.net.libp2p.stream import Libp2pStream


class OpenStreams:
    """Outlives hosts that are restarted. Each connection bounds its streams, and a peer may have
    several connections: this bounds those of a peer.
    """

    def __init__(self, most: int, on_violation: Callable[[PeerId], None]) -> None:
        """most: streams with one peer. on_violation: called with who breaks the rules of frames."""
        self.frames_in = self.frames_out = 0
        self._most = most
        self._on_violation = on_violation
        self._streams: dict[PeerId, set[Libp2pStream]] = {}

    def __len__(self) -> int:
        return sum(len(streams) for streams in self._streams.values())

    def is_full(self, peer: PeerId) -> bool:
        """Whether no more may be opened with the peer."""
        return len(self._streams.get(peer, ())) >= self._most

    def is_busy(self, peer: PeerId) -> bool:
        """Whether a stream is open with the peer that is more than a ping."""
        return any(stream.protocol != PING_ID for stream in self._streams.get(peer, ()))

    def open(
        self, muxed: MuxedStream, peer: PeerId, protocol: str, frame_limit: int
    ) -> Libp2pStream:
        """Return the frames of a stream whose protocol is agreed; it is open until it ends."""
        stream = Libp2pStream(
            muxed,
            peer,
            protocol,
            frame_limit=frame_limit,
            count=self._count,
            on_end=self._forget,
            on_violation=self._on_violation,
        )
        self._streams.setdefault(peer, set()).add(stream)
        return stream

    def _count(self, inbound: bool) -> None:
        self.frames_in += inbound
        self.frames_out += not inbound

    def _forget(self, stream: Libp2pStream) -> None:
        streams = self._streams.get(stream.peer, set())
        streams.discard(stream)
        if not streams:
            self._streams.pop(stream.peer, None)
