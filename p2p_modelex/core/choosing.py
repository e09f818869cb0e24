"""Choosing: from the directory to a selection, a shortlist to probe, and an order of trying.

Of a large mesh only a few are looked at, drawn as the profile's picker wants; more, and at last
all, where too few of them will do.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from p2p_modelex.core.directory.directory import Directory, Entry
from p2p_modelex.core.directory.index import Group, Rng, serves
from p2p_modelex.core.effects import Effect
from p2p_modelex.core.routing.candidate import Candidate, Want, build_candidates
from p2p_modelex.core.routing.decision import Decision
from p2p_modelex.core.routing.picking import Draw
from p2p_modelex.core.routing.probes import ProbeMachine
from p2p_modelex.core.routing.router import Router, Selection
from p2p_modelex.ids import PeerId
from p2p_modelex.records.advertisement import Advertisement
from p2p_modelex.records.registry import Standing
from p2p_modelex.units import UnixMs

LIMITS = (32, 512)
"""Peers looked at first, and where those do not do; then all. 32 hold enough for a choice and its
failover, and cost a tenth of a millisecond or two."""
ENOUGH = 8
"""Peers that pass the filters and spare us a further look."""
KNOWN_MAX = 16
"""Peers with fresh load that are looked at beside those drawn."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was found for a want. is_behind: whether somebody's prices are of a later epoch."""

    want: Want
    selection: Selection
    draw: Draw
    is_behind: bool

    @property
    def asked(self) -> tuple[Candidate, ...]:
        """Whom to probe: who has no rival is asked nothing, as no answer would change the order
        (RTE-12).
        """
        return self.draw.asked if len(self.draw.shortlist) > 1 else ()

    @property
    def awaited(self) -> tuple[PeerId, ...]:
        """Whose answers the choice waits for."""
        return tuple(one.peer for one in self.asked) if self.draw.waits else ()


class Choosing:
    """Looks for providers, asks them, and orders them."""

    def __init__(
        self,
        directory: Directory,
        router: Router,
        probes: ProbeMachine,
        rng: Rng,
        get_standing: Callable[[PeerId, Advertisement], Standing],
    ) -> None:
        self._directory = directory
        self.router = router
        self._probes = probes
        self._rng = rng
        self._get_standing = get_standing

    def look(self, want: Want, now: UnixMs) -> Look:
        """Select candidates and draw a shortlist."""
        candidates, selection = self._select(want, now)
        is_behind = any(candidate.offer.epoch > want.epoch for candidate in candidates)
        return Look(want, selection, self.router.draw(selection.kept, want, now), is_behind)

    def ask(self, look: Look, now: UnixMs) -> tuple[Effect, ...]:
        """Probe those whose load the choice wants to know."""
        return self._probes.ask([(c.peer, c.advertisement.addresses) for c in look.asked], now)

    def is_ready(self, look: Look) -> bool:
        """Whether nothing that the choice waits for is still to come."""
        return not self._probes.is_waiting(look.awaited)

    def rank(self, look: Look, want: Want, now: UnixMs) -> tuple[Candidate, ...]:
        """Return the order of trying; `want` may be of a later epoch than the look."""
        return self.router.rank(look.draw.shortlist, look.selection.kept, want, now)

    def explain(self, look: Look, now: UnixMs) -> Decision:
        """Return the order with its reasons."""
        return self.router.explain(look.selection, look.draw.shortlist, look.want, now)

    def _select(self, want: Want, now: UnixMs) -> tuple[list[Candidate], Selection]:
        group = self._directory.get_group(want.model, want.kind)
        for limit in () if want.only else LIMITS:
            if len(group) <= limit:
                break
            few = self._build(self._reach(group, limit, want, now), want)
            selection = self.router.select(few, want, now)
            if len({candidate.peer for candidate in selection.kept}) >= ENOUGH:
                return few, selection
        everybody = self._build(self._find_all(want), want)
        return everybody, self.router.select(everybody, want, now)

    def _reach(self, group: Group, limit: int, want: Want, now: UnixMs) -> Iterable[Entry]:
        reach = self.router.profile.picker.reach
        if reach == "cheap":
            peers: Sequence[PeerId] = group.cheapest(limit)
        elif reach == "near":
            peers = group.after(want.prefix, limit)
        else:
            known = self.router.loads.get_newest(now, KNOWN_MAX) if reach == "known" else ()
            peers = list(dict.fromkeys((*known, *group.sample(limit, self._rng))))
        reader = self.router.find_reader(want)
        if reader is not None and reader not in peers:
            peers = [reader, *peers]
        entries = (self._directory.get(peer) for peer in peers)
        return (entry for entry in entries if entry is not None)

    def _find_all(self, want: Want) -> Sequence[Entry]:
        """Everybody who will do; if nobody does, everybody, so that the filters say what lacks."""
        named = [entry for peer in want.only if (entry := self._directory.get(peer)) is not None]
        found: Sequence[Entry] = [
            entry
            for entry in named
            if any(
                serves(offer, want.model, want.kind, want.features)
                for offer in entry.advertisement.offers
            )
        ]
        if not found:
            found = self._directory.find(model=want.model, kind=want.kind, features=want.features)
        return found or self._directory.entries()

    def _build(self, entries: Iterable[Entry], want: Want) -> list[Candidate]:
        return [
            candidate
            for entry in entries
            if entry.advertisement.accounts and entry.peer != self._directory.own
            for candidate in build_candidates(
                entry.peer,
                entry.advertisement,
                entry.expires_at,
                want.epoch,
                self._get_standing(entry.peer, entry.advertisement),
            )
        ]
