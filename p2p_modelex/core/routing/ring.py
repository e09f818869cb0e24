"""The ring of peers: who comes first after a point, the same for everybody who asks."""

from p2p_modelex.ids import PeerId, public_key_of

RING = 2**64


def place(peer: PeerId) -> int:
    """Return a peer's place: keys are even, so no hash is needed."""
    return int.from_bytes(public_key_of(peer)[:8], "big")


def distance(peer: PeerId, point: bytes) -> int:
    """Return how far after a point (its first 8 bytes count) a peer stands, going one way round."""
    return (place(peer) - int.from_bytes(point[:8], "big")) % RING
