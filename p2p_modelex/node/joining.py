"""Joining the mesh: through a peer that is named, or by memory.

A home that knows peers from before needs no bootstrap peer to find them.
"""

import random
from collections.abc import Iterable

import structlog
import trio

from p2p_modelex.core.directory.entry import Entry
from p2p_modelex.errors import BadInput, NetworkError
from p2p_modelex.ids import PeerId, format_peer_id, parse_peer_id
from p2p_modelex.net.abc import Network

KNOWN_PEERS_MAX = 8
"""Peers of the stored directory that are dialled; one that answers is enough to learn the rest."""

DIALS_AT_ONCE = 4
GRACE_S = 1.0
"""How long bootstrap peers come first; with one of them up, nothing is dialled from memory."""

log = structlog.get_logger(__name__)


def parse_peer(text: str) -> tuple[PeerId, str | None]:
    """Split MULTIADDR/p2p/PEER, or a bare peer id, into the peer and its address.

    Raises BadInput if the peer id is none, or the rest is no multiaddr.
    """
    address, mark, peer = text.rpartition("/p2p/")
    hint = "write /ip4/HOST/tcp/PORT/p2p/PEER, or the peer id alone: 12D3KooW..."
    if text.startswith("/") and (not mark or len(address.split("/")) < 5):
        raise BadInput(f"not a multiaddr with a peer id: {text[:120]!r}", hint=hint)
    try:
        return parse_peer_id(peer), (address if mark else None)
    except BadInput as error:
        raise BadInput(error.message, hint=hint) from error


async def dial_known(network: Network, entries: Iterable[Entry]) -> None:
    """Dial a few peers by the addresses they advertised; who does not answer is passed over.

    They are drawn by chance, so that old peers share the load and nobody is always first.
    """
    known = [e for e in entries if e.advertisement.addresses and e.peer != network.peer]
    drawn = random.SystemRandom().sample(known, min(KNOWN_PEERS_MAX, len(known)))
    limiter = trio.CapacityLimiter(DIALS_AT_ONCE)

    async def dial(peer: PeerId, addresses: tuple[str, ...]) -> None:
        async with limiter:
            try:
                await network.dial(peer, addresses)
            except NetworkError as error:
                log.debug("known_peer_silent", peer=format_peer_id(peer), reason=str(error))

    async with trio.open_nursery() as nursery:
        for entry in drawn:
            nursery.start_soon(dial, entry.peer, tuple(entry.advertisement.addresses))
