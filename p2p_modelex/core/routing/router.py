"""Choose providers: filter, draw a shortlist, (probe it, elsewhere,) score, order."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from p2p_modelex.core.prefixes import Turn
from p2p_modelex.core.routing.candidate import Candidate, CanPay, Want, compute_cost
from p2p_modelex.core.routing.circuits import Circuits
from p2p_modelex.core.routing.decision import Decision
from p2p_modelex.core.routing.filters import Sight
from p2p_modelex.core.routing.history import History
from p2p_modelex.core.routing.loads import ProbeBook
from p2p_modelex.core.routing.picking import Draw, Rng, Scored, draw_by_trust, order_by_total
from p2p_modelex.core.routing.profile import PROFILES, Profile
from p2p_modelex.core.routing.rating_book import RatingBook
from p2p_modelex.core.routing.scorers import FUNDED, Cached, Latency, Scorer
from p2p_modelex.ids import JobId, PeerId
from p2p_modelex.units import Millis, UnixMs

CUSTOMARY = 16
"""Who served us last and is looked at whomever a large mesh shows."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What the filters left, and which filter (rule, name) took how many of those seen.

    why_none: if nothing is left, a sentence for NoProvider that names the filter that took the last
    one and what would have passed ("the cheapest is ...", "nearest: ..."); else empty.
    """

    seen: int
    kept: tuple[Candidate, ...]
    removed: tuple[tuple[str, str, int], ...]
    why_none: str


def find_cheapest(candidates: Iterable[Candidate], want: Want) -> list[Candidate]:
    """Return one candidate of each peer: its cheapest."""
    cheapest: dict[PeerId, Candidate] = {}
    for candidate in candidates:
        known = cheapest.get(candidate.peer)
        cost = compute_cost(candidate.offer, want)
        if known is None or cost < compute_cost(known.offer, want):
            cheapest[candidate.peer] = candidate
    return list(cheapest.values())


class Router:
    """Chooses among candidates by a Profile, with what is known of loads, faults and the past."""

    def __init__(
        self,
        rng: Rng,
        circuits: Circuits,
        loads: ProbeBook,
        history: History,
        profile: Profile = PROFILES["default"],
        ratings: RatingBook | None = None,
        can_pay: CanPay = lambda *_: False,
    ) -> None:
        self.profile = profile
        self.loads = loads
        self._rng = rng
        self._circuits = circuits
        self._history = history
        self._ratings = ratings or RatingBook()
        self._can_pay = can_pay

    def on_order(self, job: JobId, peer: PeerId, now: UnixMs, turns: tuple[Turn, ...] = ()) -> None:
        """An order goes to a peer. turns: of its prompt."""
        self.loads.note_order(peer)
        self._history.on_order(job, peer, now, turns)

    def on_text(self, job: JobId, now: UnixMs) -> None:
        """Text of an order came."""
        self._history.on_text(job, now)

    def on_lost(self, job: JobId, now: UnixMs) -> None:
        """An order is given up, as another is sooner."""
        self._history.on_lost(job, now)

    def on_end(self, job: JobId, peer: PeerId, *, is_good: bool | None) -> None:
        """An order is over: well, badly, or (None) in a way that says nothing of the peer."""
        self.loads.note_end(peer)
        self._history.on_end(job, is_good=is_good)

    def on_deposit(self, took: Millis) -> None:
        """A deposit that a job waited for was made."""
        self._history.on_deposit(took)

    def is_full(self, peer: PeerId, now: UnixMs) -> bool:
        """Whether the peer has no free slot, as far as is known."""
        load = self.loads.get(peer, now)
        return load is not None and load.running + load.waiting >= load.slots

    def _look(self, now: UnixMs) -> Sight:
        return Sight(self._circuits, self.loads, self._history, now, self._ratings, self._can_pay)

    def select(self, candidates: Iterable[Candidate], want: Want, now: UnixMs) -> Selection:
        """Apply the profile's filters in order."""
        sight = self._look(now)
        kept = list(candidates)
        seen = len(kept)
        removed: list[tuple[str, str, int]] = []
        if not kept:
            return Selection(0, (), (), "no other peer offers anything yet")
        for one in self.profile.filters:
            before, kept = kept, []
            gone: list[Candidate] = []
            for candidate in before:
                (kept if one.keeps(candidate, want, sight) else gone).append(candidate)
            if gone:
                removed.append((one.rule, one.name, len(gone)))
            if not kept:
                why = f"{one.rule}: {one.explain(gone, want)}"
                return Selection(seen, (), tuple(removed), why)
        return Selection(seen, tuple(kept), tuple(removed), "")

    def draw(self, kept: Sequence[Candidate], want: Want, now: UnixMs) -> Draw:
        """Draw whom to choose from and whom to probe, one candidate a peer: its cheapest."""
        cheapest = find_cheapest(kept, want)
        found = self.profile.picker.draw(cheapest, want, self._look(now), self._rng)
        found = self._add_reader(found, cheapest, want)
        return self._add_funded(found, cheapest, want, now)

    def find_customary(self) -> Iterable[PeerId]:
        """Return who served us last, if the profile cares for whom we can pay at once (RTE-52)."""
        return self._history.get_newest(CUSTOMARY) if self._weighs(Latency) else ()

    def find_reader(self, want: Want) -> PeerId | None:
        """Return who has read the most of the prompt, if the profile cares (RTE-50)."""
        if not self._weighs(Cached):
            return None
        found = self._history.readers.find(want.turns)
        return None if found is None else found[0]

    def _add_reader(self, found: Draw, kept: Sequence[Candidate], want: Want) -> Draw:
        """RTE-50: who has read the prompt is on the shortlist, asked as the others are."""
        reader = self.find_reader(want)
        candidate = next((one for one in kept if one.peer == reader), None)
        if candidate is None or candidate in found.shortlist:
            return found
        return _extend(found, (candidate,))

    def _add_funded(self, found: Draw, kept: Sequence[Candidate], want: Want, now: UnixMs) -> Draw:
        """RTE-52: some of those who can be paid at once are on the shortlist, as power of d choices
        with memory has it (Mitzenmacher, Prabhakar and Shah 2002).
        """
        if not self._weighs(Latency):
            return found
        funded = [one for one in kept if self._can_pay(one, want)]
        others = [one for one in funded if one not in found.shortlist]
        lacking = max(FUNDED - len(funded) + len(others), 0)
        return _extend(found, draw_by_trust(others, self._look(now), self._rng, lacking))

    def _weighs(self, kind: type[Scorer]) -> bool:
        return any(isinstance(scorer, kind) for scorer, _ in self.profile.scorers)

    def rank(
        self, shortlist: Sequence[Candidate], kept: Sequence[Candidate], want: Want, now: UnixMs
    ) -> tuple[Candidate, ...]:
        """Order of trying: the shortlist by the picker, then the others by score for failover."""
        return tuple(one.candidate for one in self._rank(shortlist, kept, want, now))

    def explain(
        self, selection: Selection, shortlist: Sequence[Candidate], want: Want, now: UnixMs
    ) -> Decision:
        """Rank, and say why."""
        profile = self.profile
        ranked = self._rank(shortlist, selection.kept, want, now)
        why = selection.why_none
        if ranked:
            why = profile.picker.explain(ranked[: len(shortlist)], want, self._look(now))
        return Decision(
            profile=profile.name,
            picker=profile.picker.name,
            seen=selection.seen,
            removed=selection.removed,
            scorers=tuple(scorer.name for scorer, _ in profile.scorers),
            ranked=tuple(ranked),
            listed=len(shortlist),
            why=why,
        )

    def _rank(
        self, shortlist: Sequence[Candidate], kept: Sequence[Candidate], want: Want, now: UnixMs
    ) -> list[Scored]:
        listed = {candidate.peer: None for candidate in shortlist}
        others = [candidate for candidate in kept if candidate.peer not in listed]
        sight = self._look(now)
        scored = self._score(shortlist, want, sight)
        first = self.profile.picker.order(scored, want, sight, self._rng)
        return first + order_by_total(self._score(others, want, sight), self._rng)

    def _score(self, candidates: Sequence[Candidate], want: Want, sight: Sight) -> list[Scored]:
        scorers = self.profile.scorers
        rows = [scorer.scores(candidates, want, sight) for scorer, _ in scorers]
        weights = [weight for _, weight in scorers]
        whole = sum(weights)
        scored = []
        for at, candidate in enumerate(candidates):
            scores = tuple(row[at] for row in rows)
            total = sum(w * s for w, s in zip(weights, scores, strict=True)) / whole
            scored.append(Scored(candidate, scores, total))
        return scored


def _extend(found: Draw, more: tuple[Candidate, ...]) -> Draw:
    """Put more on the shortlist, asked as the others are."""
    asked = (*found.asked, *more) if found.asked else ()
    return Draw((*found.shortlist, *more), asked, found.waits)
