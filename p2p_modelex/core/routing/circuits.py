"""Circuit breakers (M. Nygard, Release It!): who keeps failing rests, then gets one trial."""

from dataclasses import dataclass

from p2p_modelex.ids import PeerId
from p2p_modelex.units import UnixMs

FAILURES_TO_OPEN = 3
"""Failures in a row; one more after a rest opens the circuit again at once."""
REST_MS = 30_000
"""The first rest; each further one doubles, up to REST_MAX_MS."""
REST_MAX_MS = 10 * 60_000
FOUL_FAILURES = 8
"""Who breaks a rule counts as having failed so often: it rests for REST_MAX_MS, as every further
try of it costs a window, and whoever meant to cheat does so again."""
TRIAL_MS = 60_000
"""A trial that neither succeeded nor failed by then is forgotten, and another may begin."""
PEERS_MAX = 4096
"""Peers with failures remembered; the one that failed longest ago is forgotten first."""


@dataclass(slots=True)
class _Circuit:
    """unreached: the sequence of the advertisement whose addresses led nowhere, if they did."""

    failures: int
    rests_until: UnixMs
    trial_until: UnixMs
    unreached: int | None


class Circuits:
    """One breaker a peer: closed, open (resting), half-open (on trial)."""

    def __init__(self) -> None:
        self._circuits: dict[PeerId, _Circuit] = {}

    def on_failure(
        self, peer: PeerId, now: UnixMs, *, unreached: int | None = None, is_foul: bool = False
    ) -> None:
        """The peer failed a dial, a stream or a job. Not for refusals, which are honest answers.

        unreached: where it was a dial, the sequence of the advertisement that had the addresses.
        is_foul: it broke the rules, which is no accident: it rests for the longest at once.
        """
        known = self._circuits.pop(peer, None)
        failures = (known.failures if known else 0) + 1
        if is_foul:
            failures = max(failures, FOUL_FAILURES)
        rests = failures - FAILURES_TO_OPEN
        pause = min(REST_MS << min(rests, 16), REST_MAX_MS) if rests >= 0 else 0
        self._circuits[peer] = _Circuit(failures, UnixMs(now + pause), UnixMs(0), unreached)
        if len(self._circuits) > PEERS_MAX:
            del self._circuits[next(iter(self._circuits))]

    def on_success(self, peer: PeerId) -> None:
        """The peer finished a job."""
        self._circuits.pop(peer, None)

    def begin_trial(self, peer: PeerId, now: UnixMs) -> None:
        """A job goes to the peer; if its circuit is half-open, others wait for how that ends."""
        known = self._circuits.get(peer)
        if known is not None and known.failures >= FAILURES_TO_OPEN:
            known.trial_until = UnixMs(now + TRIAL_MS)

    def end_trial(self, peer: PeerId) -> None:
        """The peer answered, and honestly said no: others need not wait for how a trial ends."""
        known = self._circuits.get(peer)
        if known is not None:
            known.trial_until = UnixMs(0)

    def is_open(self, peer: PeerId, now: UnixMs, sequence: int = 0) -> bool:
        """Whether the peer, which advertises itself by `sequence`, is to be left alone now.

        Who was not where it said it was, and says anew where it is, has been started again.
        """
        known = self._circuits.get(peer)
        if known is None or now < known.trial_until:
            return known is not None
        is_back = known.unreached is not None and sequence > known.unreached
        return now < known.rests_until and not is_back
