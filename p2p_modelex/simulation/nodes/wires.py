"""One process on the network: its dials, connections and streams, as net/libp2p/ promises them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

import msgspec

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as inp
from p2p_modelex.core.effects import StreamId
from p2p_modelex.ids import PeerId
from p2p_modelex.simulation.kernel import Kernel
from p2p_modelex.simulation.models.links import CONNECTION_BYTES, LinkModel, Place
from p2p_modelex.simulation.models.tcp import Flow

DIAL_TRIPS = 3
"""Round trips before a stream can be opened: TCP, and Noise with the muxer."""
DIAL_TIMEOUT_US = 20_000_000
"""As node/streams.py has it."""
NEGOTIATION_BYTES = 60
"""multistream-select's names of a protocol, one way."""
STREAMS_MAX = 192 * 128
"""Streams of one process; the network port bounds them by peer, and connections in all."""


class Opening(msgspec.Struct, frozen=True, gc=False):
    """A peer asks for a stream."""

    peer: PeerId
    connection: int
    stream: StreamId
    protocol: str


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """A peer has taken the stream that we asked for; it calls it `theirs`."""

    peer: PeerId
    connection: int
    stream: StreamId
    theirs: StreamId


class Dialled(msgspec.Struct, frozen=True, gc=False):
    """A dial succeeds or fails now."""

    peer: PeerId


class Lost(msgspec.Struct, frozen=True, gc=False):
    """A connection broke: the peer is gone, or it closed it."""

    peer: PeerId
    connection: int


@dataclass(slots=True, eq=False)
class Connection:
    """TCP between two processes: what goes one way arrives in order."""

    number: int
    opener: "Wires"
    other: "Wires"
    to_other: Flow = field(default_factory=Flow)
    to_opener: Flow = field(default_factory=Flow)


@dataclass(slots=True)
class End:
    """Our end of a stream. theirs: the peer's number of it."""

    connection: Connection
    theirs: StreamId
    protocol: str


class Process(Protocol):
    """What its wires tell a process."""

    @property
    def number(self) -> int: ...

    @property
    def is_over(self) -> bool: ...

    def receive(self, event: msgspec.Struct) -> None: ...

    def take(self, happened: inp.Input) -> None:
        """Hand an input to the core."""
        ...

    def on_connected(self, peer: PeerId, *, is_outbound: bool) -> None: ...

    def on_disconnected(self, peer: PeerId) -> None: ...

    def refuses(self, peer: PeerId) -> bool:
        """Whether it keeps this peer away."""
        ...


Find = Callable[[PeerId], "Wires | None"]


class Wires:
    """The streams and connections of one process. Every time is in microseconds."""

    def __init__(
        self,
        process: Process,
        peer: PeerId,
        address: str,
        place: Place,
        kernel: Kernel,
        links: LinkModel,
        find: Find,
        numbers: "count[int]",
    ) -> None:
        """find: the wires of whoever runs under a peer id now. numbers: names connections."""
        self.process = process
        self.peer = peer
        self.address = address
        self.place = place
        self._kernel = kernel
        self._links = links
        self._find = find
        self._numbers = numbers
        self._own_streams = count(1, 2)
        self.connections: dict[PeerId, Connection] = {}
        self.streams: dict[StreamId, End] = {}
        self._dialling: dict[PeerId, list[fx.OpenStream]] = {}
        self.frames = 0

    @property
    def handlers(self) -> Mapping[type, Callable[..., None]]:
        """Which of its events a process passes on to here."""
        return {
            Opening: self._on_opening,
            Accepted: self._on_accepted,
            Dialled: self._on_dialled,
            Lost: self._on_lost,
            inp.FrameReceived: self._on_frame,
            inp.StreamEnded: self._on_ended,
        }

    # What the core, or whoever keeps neighbours, asks for.

    def dial(self, peer: PeerId, addresses: tuple[str, ...], at: int) -> None:
        """Connect to a peer, unless we are or are about to."""
        if peer not in self.connections and peer not in self._dialling:
            self._dialling[peer] = []
            self._begin_dial(peer, addresses, at)

    def open(self, effect: fx.OpenStream, at: int) -> None:
        """Open a stream, dialling if need be."""
        connection = self.connections.get(effect.peer)
        if connection is not None:
            self._ask(connection, effect, at)
        elif effect.peer in self._dialling:
            self._dialling[effect.peer].append(effect)
        else:
            self._dialling[effect.peer] = [effect]
            self._begin_dial(effect.peer, effect.addresses, at)

    def send(self, effect: fx.Send, at: int) -> None:
        """Send one frame."""
        end = self.streams.get(effect.stream)
        if end is not None:
            self.frames += 1
            frame = inp.FrameReceived(end.theirs, effect.payload)
            self.transmit(end.connection, len(effect.payload), frame, at)

    def end(self, stream: StreamId, at: int, *, clean: bool) -> None:
        """Close a stream in good order, or reset it; either way we hear no more of it."""
        for waiting in self._dialling.values():
            waiting[:] = [one for one in waiting if one.stream != stream]
        end = self.streams.pop(stream, None)
        if end is not None:
            reason = "" if clean else "reset"
            self.transmit(end.connection, 0, inp.StreamEnded(end.theirs, clean, reason), at)

    def transmit(self, connection: Connection, size: int, event: msgspec.Struct, at: int) -> None:
        """Let an event reach the other end of a connection, after all that went before."""
        is_ours = connection.opener is self
        other = connection.other if is_ours else connection.opener
        flow = connection.to_other if is_ours else connection.to_opener
        arrival = self._links.compute_arrival(self.place, other.place, size, at, flow)
        if self._links.cuts:
            heal = self._links.find_heal(self.process.number, other.process.number, at)
            if heal:
                healed = heal + self._links.get_latency(self.place, other.place)
                arrival = flow.last = max(arrival, healed)
        self._kernel.at(arrival, other.process, event)

    def drop(self, peer: PeerId) -> None:
        """Close the connection to a peer; it hears of it when the news is there."""
        connection = self.connections.get(peer)
        if connection is not None:
            self.transmit(connection, 0, Lost(self.peer, connection.number), self._kernel.now)
            self.lose(connection)

    def lose(self, connection: Connection) -> None:
        """A connection is gone, and with it every stream on it."""
        other = connection.other if connection.opener is self else connection.opener
        if self.connections.get(other.peer) is not connection:
            return  # this end had given it up before
        del self.connections[other.peer]
        gone = [stream for stream, end in self.streams.items() if end.connection is connection]
        for stream in gone:
            del self.streams[stream]
        self.process.on_disconnected(other.peer)
        for stream in gone:
            self.process.take(inp.StreamEnded(stream, False, "the connection broke"))

    def end_process(self) -> None:
        """The process was killed: its system resets every connection."""
        for peer, connection in list(self.connections.items()):
            self.transmit(connection, 0, Lost(self.peer, connection.number), self._kernel.now)
            del self.connections[peer]
        self.streams.clear()
        self._dialling.clear()

    # What comes.

    def _begin_dial(self, peer: PeerId, addresses: tuple[str, ...], at: int) -> None:
        other = self._find(peer)
        wait = DIAL_TIMEOUT_US
        if other is not None and self._is_reachable(other, addresses):
            wait = DIAL_TRIPS * 2 * self._links.get_latency(self.place, other.place)
        self._kernel.at(at + wait, self.process, Dialled(peer))

    def _is_reachable(self, other: "Wires", addresses: tuple[str, ...]) -> bool:
        one, two = self.process.number, other.process.number
        is_cut = self._links.find_heal(one, two, self._kernel.now)
        is_cut = is_cut or self._links.find_heal(two, one, self._kernel.now)
        return other.address in addresses and not other.place.is_hidden and not is_cut

    def _on_dialled(self, event: Dialled) -> None:
        waiting = self._dialling.pop(event.peer, None)
        if waiting is None:
            return
        other = self._find(event.peer)
        known = self.connections.get(event.peer)
        if known is None and other is not None and self._may_connect(other):
            known = self._connect(other)
        for effect in waiting:
            if known is None:
                self.process.take(inp.StreamFailed(effect.stream, "the peer does not answer"))
            else:
                self._ask(known, effect, self._kernel.now)

    def _may_connect(self, other: "Wires") -> bool:
        if other.process.is_over or not self._is_reachable(other, (other.address,)):
            return False
        return not (self.process.refuses(other.peer) or other.process.refuses(self.peer))

    def _connect(self, other: "Wires") -> Connection:
        connection = Connection(next(self._numbers), self, other)
        self.connections[other.peer] = other.connections[self.peer] = connection
        for place in (self.place, other.place):
            place.bytes_sent += CONNECTION_BYTES // 2
        self.process.on_connected(other.peer, is_outbound=True)
        other.process.on_connected(self.peer, is_outbound=False)
        return connection

    def _ask(self, connection: Connection, effect: fx.OpenStream, at: int) -> None:
        opening = Opening(self.peer, connection.number, effect.stream, effect.protocol)
        # Until the peer has accepted, the end leads to a stream that nobody has.
        self.streams[effect.stream] = End(connection, StreamId(0), effect.protocol)
        self.transmit(connection, NEGOTIATION_BYTES, opening, at)

    def _on_opening(self, event: Opening) -> None:
        connection = self.connections.get(event.peer)
        if connection is None or connection.number != event.connection:
            return
        if len(self.streams) >= STREAMS_MAX:
            ended = inp.StreamEnded(event.stream, False, "too many streams")
            self.transmit(connection, 0, ended, self._kernel.now)
            return
        ours = StreamId(next(self._own_streams))
        self.streams[ours] = End(connection, event.stream, event.protocol)
        accepted = Accepted(self.peer, connection.number, event.stream, ours)
        self.transmit(connection, NEGOTIATION_BYTES, accepted, self._kernel.now)
        self.process.take(inp.StreamOpened(ours, event.peer, event.protocol))

    def _on_accepted(self, event: Accepted) -> None:
        end = self.streams.get(event.stream)
        connection = self.connections.get(event.peer)
        if connection is None or connection.number != event.connection:
            return
        if end is None:  # closed before it was open
            ended = inp.StreamEnded(event.theirs, False, "reset")
            self.transmit(connection, 0, ended, self._kernel.now)
            return
        end.theirs = event.theirs
        self.process.take(inp.StreamReady(event.stream))

    def _on_frame(self, event: inp.FrameReceived) -> None:
        if event.stream in self.streams:
            self.process.take(event)

    def _on_ended(self, event: inp.StreamEnded) -> None:
        if event.stream in self.streams:
            if not event.clean:
                del self.streams[event.stream]
            self.process.take(event)

    def _on_lost(self, event: Lost) -> None:
        connection = self.connections.get(event.peer)
        if connection is not None and connection.number == event.connection:
            self.lose(connection)
