"""Every option of the libp2p network, with what it costs to raise it. Imports nothing heavy."""

from dataclasses import dataclass, field

from p2p_modelex.limits import (
    CONNECTIONS_MAX,
    CONNECTIONS_PER_IP_MAX,
    CONNECTIONS_PER_SUBNET_MAX,
    HANDSHAKES_MAX,
    HANDSHAKES_PER_IP_MAX,
    NEIGHBOURS_MIN,
    STREAMS_PER_PEER_MAX,
)
from p2p_modelex.net.bounded import GossipRates


@dataclass(frozen=True, slots=True)
class Libp2pConfiguration:
    """How a Libp2pNetwork listens, whom it finds, and what it takes from others."""

    listen: tuple[str, ...] = ("/ip4/127.0.0.1/tcp/0",)
    """Multiaddrs to listen on, TCP only. Port 0 takes a free one. A port in use is an error."""

    announce: tuple[str, ...] = ()
    """Multiaddrs told to others in place of `listen`, for a node behind a forwarded port."""

    bootstrap: tuple[str, ...] = ()
    """Multiaddrs ending in /p2p/PEER, dialled at start and while there are few neighbours."""

    neighbours_min: int = NEIGHBOURS_MIN
    """Bootstrap peers are redialled while there are fewer connections than this."""

    dht: bool = False
    """Take part in the Kademlia DHT, so that `find_peer` works. Costs a few streams a minute."""

    mdns: bool = False
    """Find peers on the local network by multicast DNS, and be found."""

    connections_max: int = CONNECTIONS_MAX
    """All connections; about 85 KiB of memory each."""

    connections_per_ip_max: int = CONNECTIONS_PER_IP_MAX
    """Inbound connections, finished handshake or not, from one address."""

    connections_per_subnet_max: int = CONNECTIONS_PER_SUBNET_MAX
    """Inbound connections from one IPv4 /24 or IPv6 /56."""

    handshakes_max: int = HANDSHAKES_MAX
    """Inbound connections whose handshakes are under way; one more and the oldest goes."""

    handshakes_per_ip_max: int = HANDSHAKES_PER_IP_MAX
    """Of those, from one address."""

    loopback_exempt: bool = True
    """This machine's own addresses have no bounds by address and no reputation."""

    streams_per_peer_max: int = STREAMS_PER_PEER_MAX
    """Open streams with one peer; each may hold 256 KiB unread."""

    dial_timeout_s: float = 5.0
    """For each address tried, with both handshakes."""

    handshake_timeout_s: float = 8.0
    """For Noise and agreeing on Yamux on an inbound connection: some round trips and 10 ms CPU."""

    stream_timeout_s: float = 10.0
    """For agreeing on a protocol on a new stream, on either side."""

    ping_interval_s: float = 15.0
    """A peer silent for half of this is pinged; three unanswered in a row, and it is dropped."""

    heartbeat_interval_s: float = 1.0
    """GossipSub's heartbeat: mesh repair and lazy gossip. Less costs CPU for each peer."""

    gossip_rates: GossipRates = field(default_factory=GossipRates)
    """What is taken from one origin and from all; the rest is dropped and counted."""
