"""What is believed of others' ratings on chain."""

from p2p_modelex.ids import PeerId

PEERS_MAX = 4096
"""Peers whose rating is kept; the one read longest ago is forgotten first."""
RATING_MAX = 10_000
"""A rating is in hundredths of a per cent."""


class RatingBook:
    """The rating of each peer by those whom the operator believes (RTE-48)."""

    def __init__(self) -> None:
        self._ratings: dict[PeerId, int] = {}

    def put(self, peer: PeerId, rating: int | None) -> None:
        """Note what the chain says; None takes the peer's rating back."""
        self._ratings.pop(peer, None)
        if rating is None:
            return
        self._ratings[peer] = rating
        if len(self._ratings) > PEERS_MAX:
            del self._ratings[next(iter(self._ratings))]

    def get(self, peer: PeerId) -> int | None:
        """Return a peer's rating, 0 to RATING_MAX; None if nobody who is believed rates it."""
        return self._ratings.get(peer)
