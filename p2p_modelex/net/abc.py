"""The network port: what the node needs from a peer-to-peer network.

Two implementations pass the same contract tests: `net/libp2p/` and `net/memory.py`.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from p2p_modelex.ids import PeerId


class Verdict(Enum):
    """What to do with a gossip message; only REJECT costs the sender."""

    ACCEPT = "accept"
    IGNORE = "ignore"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class GossipMessage:
    """One accepted message: who published it, who handed it to us, its bytes."""

    topic: str
    origin: PeerId
    forwarder: PeerId
    payload: bytes


@dataclass(frozen=True, slots=True)
class PeerSeen:
    """A peer that connected, told its addresses, disconnected, or was found.

    `connected` comes at once with the addresses we dialled (none for an inbound connection);
    `identified` follows when the peer has told which addresses it listens on.
    """

    peer: PeerId
    addresses: tuple[str, ...]
    how: Literal["connected", "identified", "disconnected", "mdns", "dht", "bootstrap"]


@dataclass(frozen=True, slots=True)
class NetworkStatistics:
    """Counters since the start; an immutable snapshot."""

    connections: int
    streams: int
    restarts: int
    frames_in: int
    frames_out: int
    gossip_in: int
    gossip_dropped: int


class Stream(ABC):
    """A bidirectional stream of frames with one peer.

    One task may send while another receives. Cancelling either loses no data and leaves the
    stream usable: a frame whose sending was cancelled is sent whole by the next `send_frame`,
    `close_write` or `aclose`, or was never begun.
    """

    @property
    @abstractmethod
    def peer(self) -> PeerId:
        """The authenticated peer at the other end."""

    @property
    @abstractmethod
    def protocol(self) -> str: ...

    @abstractmethod
    async def send_frame(self, payload: bytes) -> None:
        """Send one frame. Raises StreamClosed, StreamBroken; LocalProtocolError over the limit."""

    def try_send_frame(self, payload: bytes) -> bool:
        """Send one frame without waiting, or nothing of it: then False, and `send_frame` says why.

        Saves a task switch; a stream may always say False.
        """
        return False

    @abstractmethod
    async def receive_frame(self) -> bytes:
        """Receive one frame.

        Raises StreamClosed at a clean end, StreamBroken at any other end, and
        RemoteProtocolError (NET-1 over the protocol's frame limit, NET-2 cut off in mid-frame).
        """

    @abstractmethod
    async def close_write(self) -> None:
        """Say that no more frames follow; reading goes on."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close both ways, or reset if that takes long. Never raises."""

    @abstractmethod
    async def reset(self) -> None:
        """Drop the stream at once; the peer sees StreamBroken. Never raises."""


StreamHandler = Callable[[Stream], Awaitable[None]]
Validator = Callable[[PeerId, bytes], Verdict]
"""Judges (origin, payload); synchronous and quick, it runs on the gossip path."""


class Network(ABC):
    """One peer's view of the mesh. `run()` keeps it alive; everything else works inside it."""

    @property
    @abstractmethod
    def peer(self) -> PeerId: ...

    @property
    @abstractmethod
    def addresses(self) -> tuple[str, ...]:
        """Multiaddrs we listen on, without the /p2p part, real ports filled in."""

    @abstractmethod
    def run(self) -> AbstractAsyncContextManager[None]:
        """Listen and serve, restarting what fails, until the block ends.

        Raises ConfigurationError if an address is malformed or in use.
        """

    @abstractmethod
    def handle(self, protocol: str, handler: StreamHandler, *, frame_limit: int) -> None:
        """Serve inbound streams of `protocol`; call before `run`.

        The stream is the handler's for as long as it runs: it is closed when the handler returns
        or lets StreamClosed out; anything else that the handler raises is logged and resets it,
        nothing more.
        """

    @abstractmethod
    def subscribe(self, topic: str, validator: Validator) -> None:
        """Take part in a gossip topic; call before `run`. Accepted messages come by `gossip()`."""

    @abstractmethod
    async def dial(self, peer: PeerId, addresses: Sequence[str]) -> None:
        """Connect, trying the addresses in turn; at once if connected. Raises DialFailed."""

    @abstractmethod
    async def disconnect(self, peer: PeerId) -> None:
        """Drop the connection, if any. Never raises."""

    @abstractmethod
    def penalize(self, peer: PeerId, offence: str) -> None:
        """Count an offence (a name of net/reputation.py) against a peer and where it lives.

        Who has too many is disconnected and kept away for some minutes. Never raises.
        """

    @abstractmethod
    async def open_stream(self, peer: PeerId, protocol: str, *, frame_limit: int) -> Stream:
        """Open a stream to a connected peer.

        Raises DialFailed if it is not connected, ProtocolNotSpoken if it does not serve
        `protocol`, NetworkError over `limits.STREAMS_PER_PEER_MAX` or on a time-out.
        """

    @abstractmethod
    async def ping(self, peer: PeerId) -> float:
        """Return the round trip in seconds to a connected peer. Raises StreamBroken on time-out."""

    @abstractmethod
    async def publish(self, topic: str, payload: bytes) -> None:
        """Gossip a message to the others; we do not receive our own.

        Raises LocalProtocolError over `limits.GOSSIP_MESSAGE_BYTES` or if not subscribed.
        """

    @abstractmethod
    async def gossip(self) -> GossipMessage:
        """Wait for the next accepted gossip message (bounded queue, oldest dropped and counted)."""

    @abstractmethod
    async def seen(self) -> PeerSeen:
        """Wait for the next peer that connected, disconnected or was found."""

    @abstractmethod
    async def find_peer(self, peer: PeerId) -> tuple[str, ...]:
        """Look a peer's addresses up in the DHT; empty if unknown. Raises NetworkError if off."""

    @abstractmethod
    def connected(self) -> tuple[PeerId, ...]:
        """The peers we are connected to, sorted."""

    @abstractmethod
    def statistics(self) -> NetworkStatistics: ...
