"""Whom to reconcile with: neighbours, and now and then somebody else."""

from p2p_modelex.core.buckets import TokenBuckets
from p2p_modelex.core.directory.directory import Directory
from p2p_modelex.core.directory.index import Rng
from p2p_modelex.core.directory.initiator import Plan
from p2p_modelex.core.directory.sessions import Sessions
from p2p_modelex.core.directory.settings import DirectorySettings
from p2p_modelex.core.effects import Effect
from p2p_modelex.ids import PeerId
from p2p_modelex.units import UnixMs

# Peers that we are not connected to and dial because gossip announced something: 4 at once and one
# in 2 s. Anyone may announce a peer whose addresses are a third party's.
_DIALS_BURST = 4
_DIALS_INTERVAL_MS = 2_000


class Neighbours:
    """The peers that we are connected to, and the dials to others that we may yet make."""

    def __init__(
        self, directory: Directory, sessions: Sessions, rng: Rng, settings: DirectorySettings
    ) -> None:
        self._directory = directory
        self._sessions = sessions
        self._rng = rng
        self._settings = settings
        self._connected: dict[PeerId, None] = {}
        self._dials = TokenBuckets(_DIALS_BURST, _DIALS_INTERVAL_MS, 1)

    def __len__(self) -> int:
        return len(self._connected)

    def add(self, peer: PeerId) -> None:
        """We are connected to a peer."""
        self._connected[peer] = None

    def remove(self, peer: PeerId) -> None:
        """We are no more."""
        self._connected.pop(peer, None)

    def take_dial(self, peer: PeerId, now: UnixMs) -> bool:
        """Whether a stream to the peer may be opened; a dial is used up if we are not connected."""
        return peer in self._connected or self._dials.take(self._directory.own, now)

    def begin_with_some(self, plan: Plan, now: UnixMs, most: int) -> tuple[Effect, ...]:
        """Open sessions with a few random neighbours (the start of a Fisher-Yates shuffle)."""
        peers = sorted(self._connected)
        effects: tuple[Effect, ...] = ()
        for at in range(min(most, len(peers))):
            other = at + int(self._rng.random() * (len(peers) - at))
            peers[at], peers[other] = peers[other], peers[at]
            effects += self._sessions.begin(peers[at], plan, now)
        return effects

    def meet(self, now: UnixMs) -> tuple[Effect, ...]:
        """Now and then reconcile with a peer that we are not connected to: neighbours alone would
        never lead from one half of a mesh into the other once a partition has cut every connection.
        """
        settings = self._settings
        if self._rng.random() >= settings.stranger_share:
            return ()
        if len(self._connected) >= settings.strangers_below:
            return ()
        entry = self._directory.draw(self._rng)
        if entry is None or entry.peer == self._directory.own or entry.peer in self._connected:
            return ()
        is_possible = bool(entry.advertisement.addresses) and self.take_dial(entry.peer, now)
        return self._sessions.begin(entry.peer, Plan(), now) if is_possible else ()
