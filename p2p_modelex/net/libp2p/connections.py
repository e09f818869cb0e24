"""Who we are connected to: dialling, events, opening streams, dropping the frozen."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import trio
from libp2p.peer.id import ID
from libp2p.rcmgr import Direction

from p2p_modelex.errors import BadInput, DialFailed, NetworkError, ProtocolNotSpoken
from p2p_modelex.ids import PeerId, format_peer_id
from p2p_modelex.limits import CONNECTIONS_PER_PEER_MAX
from p2p_modelex.net.abc import PeerSeen
from p2p_modelex.net.libp2p.configuration import Libp2pConfiguration
from p2p_modelex.net.libp2p.gate import Gate
from p2p_modelex.net.libp2p.host import known_addresses, parse_dial_address, peer_of
from p2p_modelex.net.libp2p.muxed_stream import MuxedStream, YamuxViolation
from p2p_modelex.net.libp2p.muxer import Yamux
from p2p_modelex.net.libp2p.negotiation import (
    NegotiationFailed,
    ProtocolRefused,
    open_negotiated,
)

_log = logging.getLogger(__name__)

# Pings in a row without any sign of life, after which a peer counts as frozen.
_MISSES_MAX = 3


class Connections:
    """One host's connections. It is the host's notifee: hence `connected`, `listen` and so on."""

    def __init__(
        self,
        host: Any,
        options: Libp2pConfiguration,
        gate: Gate,
        report: Callable[[PeerSeen], None],
    ) -> None:
        self.peers: set[PeerId] = set()
        self.on_identified: Callable[[PeerId], Awaitable[None]] | None = None
        self.on_left: Callable[[PeerId], None] | None = None
        self._host = host
        self._network = host.get_network()
        self._options = options
        self._gate = gate
        self._report = report
        self._dialling: dict[PeerId, trio.Event] = {}
        self._network.register_notifee(self)
        self._identify = host._identify_peer
        host._identify_peer = self._identify_and_report

    async def run(self) -> None:
        """Ask silent peers for a sign of life, and drop those that give none."""
        while True:
            await trio.sleep(self._options.ping_interval_s)
            now_s = trio.current_time()
            for connection in list(self._network.get_connections()):
                muxer = connection.muxed_conn
                if not isinstance(muxer, Yamux):
                    continue
                # Pings are counted, and not seconds: a pause of our own must not cost the peer.
                if muxer.unanswered >= _MISSES_MAX:
                    _log.info("peer %s does not answer: dropped", muxer.peer_id)
                    self._network.manager.run_task(_close, connection)
                elif now_s - muxer.last_received_s > 0.5 * self._options.ping_interval_s:
                    with suppress(YamuxViolation):
                        muxer.ping()

    def report_all_lost(self) -> None:
        for peer in sorted(self.peers):
            self._report(PeerSeen(peer, (), "disconnected"))
        self.peers.clear()

    async def dial(self, peer: PeerId, addresses: Sequence[str]) -> None:
        """Connect by the first address that answers. Raises DialFailed with every reason."""
        await trio.lowlevel.checkpoint()
        while peer in self._dialling:
            await self._dialling[peer].wait()
        if self._live(peer):
            return
        if self._gate.refuses(peer):
            raise DialFailed(f"{format_peer_id(peer)} is kept away for what it did")
        done = self._dialling[peer] = trio.Event()
        try:
            await self._dial(peer, addresses)
        finally:
            del self._dialling[peer]
            done.set()

    async def _dial(self, peer: PeerId, addresses: Sequence[str]) -> None:
        # libp2p's own dial by peer id tries one address for each transport and then refuses the
        # peer for a minute, so we go through the addresses ourselves.
        reasons: list[str] = []
        for text in addresses:
            try:
                address = parse_dial_address(text)
                with trio.fail_after(self._options.dial_timeout_s):
                    await self._network.dial_addr(address, ID(peer))
                    return
            except BadInput as error:
                reasons.append(error.message)
            except trio.TooSlowError:
                reasons.append(f"{text}: no answer in {self._options.dial_timeout_s:g} s")
            except Exception as error:  # libp2p raises many kinds for one failed dial
                reasons.append(f"{text}: {error.__cause__ or error}")
        raise DialFailed(
            f"cannot reach {format_peer_id(peer)}: {'; '.join(reasons) or 'no address is known'}"
        )

    def _live(self, peer: PeerId) -> bool:
        return any(not c.is_closed for c in self._network.get_connections(ID(peer)))

    def _muxer_to(self, peer: PeerId) -> Yamux | None:
        for connection in self._network.get_connections(ID(peer)):
            muxer = connection.muxed_conn
            if not connection.is_closed and isinstance(muxer, Yamux) and not muxer.is_closed:
                return muxer
        return None

    async def close(self, peer: PeerId) -> None:
        with trio.CancelScope(shield=True), suppress(Exception):
            await self._network.close_peer(ID(peer))

    async def open_stream(self, peer: PeerId, protocol: str) -> MuxedStream:
        """Return a muxed stream with its protocol agreed. Errors as Network.open_stream."""
        muxer = self._muxer_to(peer)
        if muxer is None:
            raise DialFailed(f"not connected to {format_peer_id(peer)}", hint="dial it first")
        try:
            with trio.fail_after(self._options.stream_timeout_s):
                return await open_negotiated(muxer, protocol)
        except trio.TooSlowError as error:
            raise NetworkError(f"{format_peer_id(peer)} does not answer a new stream") from error
        except ProtocolRefused as error:
            raise ProtocolNotSpoken(f"{format_peer_id(peer)} does not speak {protocol}") from error
        except NegotiationFailed as error:
            raise NetworkError(f"no stream to {format_peer_id(peer)}: {error}") from error
        except Exception as error:  # the connection died under it, in one of many ways
            raise DialFailed(f"lost {format_peer_id(peer)}: {error}") from error

    async def connected(self, _network: Any, connection: Any) -> None:
        peer = peer_of(connection.muxed_conn.peer_id)
        if peer is None or self._gate.refuses(peer):
            self._network.manager.run_task(_close, connection)
            return
        # Its own older ones make room: they may be dead and not yet noticed.
        live = [one for one in self._network.get_connections(ID(peer)) if not one.is_closed]
        for one in live[: max(0, len(live) - CONNECTIONS_PER_PEER_MAX)]:
            self._network.manager.run_task(_close, one)
        if peer in self.peers:
            return
        self.peers.add(peer)
        dialled: tuple[str, ...] = ()
        if connection.direction == Direction.OUTBOUND:
            dialled = tuple(str(a) for a in connection.muxed_conn.get_transport_addresses())
        self._report(PeerSeen(peer, dialled, "connected"))

    async def disconnected(self, _network: Any, connection: Any) -> None:
        muxer = connection.muxed_conn
        peer = peer_of(muxer.peer_id)
        outbound = connection.direction == Direction.OUTBOUND
        if peer is not None and outbound and isinstance(muxer, Yamux) and muxer.violation:
            self._gate.blame(peer, "muxer")  # the gate itself watches inbound ones
        if peer is None or peer not in self.peers or self._live(peer):
            return
        self.peers.discard(peer)
        if not outbound or self.on_left is None:
            # Bounds the address book. Whom we dialled, the DHT may go on telling others of.
            with suppress(Exception):
                self._host.get_peerstore().clear_peerdata(ID(peer))
            if self.on_left is not None:
                self.on_left(peer)
        self._report(PeerSeen(peer, (), "disconnected"))

    async def opened_stream(self, _network: Any, _stream: Any) -> None: ...

    async def closed_stream(self, _network: Any, _stream: Any) -> None: ...

    async def listen(self, _network: Any, _address: Any) -> None: ...

    async def listen_close(self, _network: Any, _address: Any) -> None: ...

    async def _identify_and_report(self, identifier: ID, *, reason: str) -> None:
        await self._identify(identifier, reason=reason)
        peer = peer_of(identifier)
        if peer is None or peer not in self.peers:
            return
        addresses = known_addresses(self._host, peer)
        if addresses:
            self._report(PeerSeen(peer, addresses, "identified"))
        if self.on_identified is not None:
            with suppress(Exception):
                await self.on_identified(peer)


async def _close(connection: Any) -> None:
    with suppress(Exception):
        await connection.close()
