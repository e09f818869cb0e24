"""A libp2p host with Noise, Yamux and TCP only, and the addresses around it."""

import socket
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, cast

import trio
from libp2p import new_swarm
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.identity.identify_push.identify_push import ID_PUSH as IDENTIFY_PUSH_ID
from libp2p.network.config import ConnectionConfig, RetryConfig
from libp2p.peer.id import ID
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_ID
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX_ID
from libp2p.utils.address_validation import expand_wildcard_address
from multiaddr import Multiaddr

from p2p_modelex.errors import BadInput, ConfigurationError
from p2p_modelex.ids import PeerId, parse_peer_id, public_key_of
from p2p_modelex.limits import ADDRESSES_MAX, CONNECTIONS_PER_PEER_MAX
from p2p_modelex.net.libp2p.configuration import Libp2pConfiguration
from p2p_modelex.net.libp2p.mends import apply_mends
from p2p_modelex.net.libp2p.muxer import Yamux
from p2p_modelex.net.libp2p.noise import NoiseTransport

_CLOSE_S = 2.0
_HOSTS = ("ip4", "ip6", "dns", "dns4", "dns6")


def build_host(
    private_key: bytes, configuration: Libp2pConfiguration, listen: Sequence[str]
) -> Any:
    """Return a BasicHost, mended, not yet running. `private_key` is a 32-byte Ed25519 seed."""
    apply_mends()
    keys = create_new_key_pair(private_key)
    noise = NoiseTransport(keys, create_noise_key_pair().private_key)
    swarm: Any = new_swarm(
        key_pair=keys,
        sec_opt={TProtocol(NOISE_ID): cast(Any, noise)},
        muxer_opt={TProtocol(YAMUX_ID): cast(Any, Yamux)},
        listen_addrs=[Multiaddr(text) for text in listen],
        retry_config=RetryConfig(max_retries=0),
        connection_config=ConnectionConfig(
            # Watermarks at 0: its own connector is unreliable, the node decides whom to dial.
            min_connections=0,
            low_watermark=0,
            high_watermark=configuration.connections_max,
            max_connections=configuration.connections_max,
            # Of their own per-peer limit we are ahead, and it spares connections for 20 s.
            max_connections_per_peer=CONNECTIONS_PER_PEER_MAX + 8,
            inbound_upgrade_timeout=configuration.handshake_timeout_s,
            outbound_stream_protocol_negotiation_timeout=configuration.stream_timeout_s,
            inbound_stream_protocol_negotiation_timeout=configuration.stream_timeout_s,
        ),
    )
    announce = [Multiaddr(text) for text in configuration.announce]
    host = BasicHost(
        network=swarm,
        addrs_factory=lambda listening: announce or expand_wildcards(listening),
        disable_identify_address_discovery=True,
    )
    # It lets any peer write to our address book at any time.
    host.remove_stream_handler(IDENTIFY_PUSH_ID)
    return host


def validate_listen(listen: Sequence[str]) -> None:
    """Raise ConfigurationError if an address is malformed, not TCP, or already in use.

    libp2p listens with SO_REUSEPORT, so a second node on a port would get half the connections
    and no error: a socket without that option finds out first.
    """
    for text in listen:
        family, host, port = _parse_listen(text)
        if port == 0:
            continue
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise ConfigurationError(
                    f"cannot listen on {text}: {error.strerror}",
                    hint="another node may be running there; choose another port",
                ) from error


def _parse_listen(text: str) -> tuple[socket.AddressFamily, str, int]:
    try:
        address = Multiaddr(text)
        names = [protocol.name for protocol in address.protocols()]
        if len(names) != 2 or names[0] not in ("ip4", "ip6") or names[1] != "tcp":
            raise ValueError("only /ip4/HOST/tcp/PORT and /ip6/HOST/tcp/PORT")
        family = socket.AF_INET if names[0] == "ip4" else socket.AF_INET6
        return family, address.value_for_protocol(names[0]), int(address.value_for_protocol("tcp"))
    except ValueError as error:
        raise ConfigurationError(
            f"cannot listen on {text!r}: {error}", hint="for example /ip4/0.0.0.0/tcp/4001"
        ) from error


def listening_addresses(host: Any) -> tuple[str, ...]:
    """Return the multiaddrs a running host really listens on, without /p2p."""
    return tuple(
        str(address)
        for listener in host.get_network().listeners.values()
        for address in listener.get_addrs()
    )


def expand_wildcards(addresses: Iterable[Multiaddr]) -> list[Multiaddr]:
    """Replace `0.0.0.0` and `::`, which nobody can dial, by this machine's own addresses."""
    expanded: list[Multiaddr] = []
    for address in addresses:
        text = str(address)
        if text.startswith(("/ip4/0.0.0.0/", "/ip6/::/")):
            expanded += expand_wildcard_address(address)
        else:
            expanded.append(address)
    return expanded[:ADDRESSES_MAX]


async def close_listeners(host: Any) -> None:
    """Close what a host that failed left listening: it would take half of our connections.

    libp2p closes its listeners in order, but a cancelled close of one thing skips the rest.
    """
    with trio.move_on_after(_CLOSE_S) as scope:
        scope.shield = True
        for listener in list(host.get_network().listeners.values()):
            with suppress(Exception):
                await listener.close()


def parse_dial_address(text: str) -> Multiaddr:
    """Parse an address to dial, with or without /p2p; BadInput if it is not plain TCP."""
    try:
        address = Multiaddr(text)
        names = [protocol.name for protocol in address.protocols()]
    except Exception as error:  # multiaddr raises many kinds
        raise BadInput(f"not a multiaddr: {text[:80]!r}") from error
    if names[-1:] == ["p2p"]:
        names.pop()
        address = address.decapsulate_code(0x01A5)
    if len(names) != 2 or names[0] not in _HOSTS or names[1] != "tcp":
        raise BadInput(f"only TCP addresses are dialled, not {text[:80]!r}")
    return address


def parse_peer_address(text: str) -> tuple[PeerId, str]:
    """Split `/ip4/../tcp/../p2p/PEER` into the peer and the address before it; BadInput."""
    address, separator, peer = text.rpartition("/p2p/")
    if not separator:
        raise BadInput(f"a bootstrap address ends in /p2p/PEER: {text[:80]!r}")
    parse_dial_address(address)
    return parse_peer_id(peer), address


def peer_of(identifier: ID) -> PeerId | None:
    """Return our form of a libp2p peer id; None if its key is not Ed25519."""
    peer = PeerId(identifier.to_bytes())
    try:
        public_key_of(peer)
    except BadInput:
        return None
    return peer


def known_addresses(host: Any, peer: PeerId) -> tuple[str, ...]:
    """Return the TCP addresses the peer has told us, at most ADDRESSES_MAX."""
    try:
        told = host.get_peerstore().addrs(ID(peer))
    except Exception:  # the peer store raises when it knows nothing
        return ()
    found: OrderedDict[str, None] = OrderedDict()
    for address in told:
        try:
            found[str(parse_dial_address(str(address)))] = None
        except BadInput:
            continue
        if len(found) == ADDRESSES_MAX:
            break
    return tuple(found)
