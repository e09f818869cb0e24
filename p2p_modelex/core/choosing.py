"""Choosing: from the directory to a selection, a shortlist to probe, and an order of trying.

Of a large mesh only a few are looked at, drawn as the profile's picker wants; more, and at last
all, where too few of them will do.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from p2p_modelex.core.directory.directory import Directory
from p2p_modelex.core.directory.entry import Entry
from p2p_modelex.core.directory.index import Group, Rng, serves
from p2p_modelex.core.effects import Effect
from p2p_modelex.core.farm.machine import FarmMachine
from p2p_modelex.core.farm.names import explain_farm
from p2p_modelex.core.routing.candidate import Candidate, Want, build_candidates
from p2p_modelex.core.routing.decision import Decision
from p2p_modelex.core.routing.picking import Draw
from p2p_modelex.core.routing.probes import ProbeMachine
from p2p_modelex.core.routing.router import Router, Selection, find_cheapest
from p2p_modelex.ids import PeerId, PublicKey, parse_peer_id, public_key_of
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
    def farm(self) -> PublicKey | None:
        """Whose members are wanted, where some of them will do."""
        return (
            public_key_of(parse_peer_id(self.want.farm))
            if self.want.farm and self.selection.kept
            else None
        )

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
        farms: FarmMachine,
    ) -> None:
        self._directory = directory
        self.router = router
        self._probes = probes
        self._rng = rng
        self._get_standing = get_standing
        self._farms = farms

    def look(self, want: Want, now: UnixMs) -> Look:
        """Select candidates and draw a shortlist."""
        want = self._name_farm(want)
        candidates, selection = self._select_in_farm(want, now)
        is_behind = any(candidate.offer.epoch > want.epoch for candidate in candidates)
        return Look(want, selection, self.router.draw(selection.kept, want, now), is_behind)

    def ask(self, look: Look, now: UnixMs) -> tuple[Effect, ...]:
        """Probe those whose load the choice wants to know, and ask who is still of the farm."""
        probes = self._probes.ask([(c.peer, c.advertisement.addresses) for c in look.asked], now)
        return (*probes, *(self._farms.ask(look.farm, now) if look.farm is not None else ()))

    def is_ready(self, look: Look) -> bool:
        """Whether nothing that the choice waits for is still to come."""
        is_known = look.farm is None or not self._farms.is_waiting(look.farm)
        return is_known and not self.is_waiting(look.awaited)

    def is_past(self, look: Look, now: UnixMs) -> bool:
        """Whether a farm has said since that some of those found are no more of it."""
        return not all(self.is_member(candidate, now) for candidate in look.selection.kept)

    def is_member(self, candidate: Candidate, now: UnixMs) -> bool:
        """Whether a candidate is of the farm that it was found in still, if it was in one."""
        membership = candidate.membership
        return membership is None or self._farms.book.holds(membership, now)

    def rank(self, look: Look, want: Want, now: UnixMs) -> tuple[Candidate, ...]:
        """Return the order of trying; `want` may be of a later epoch than the look."""
        return self.router.rank(look.draw.shortlist, look.selection.kept, want, now)

    def explain(self, look: Look, now: UnixMs) -> Decision:
        """Return the order with its reasons."""
        if self.is_past(look, now):
            look = self.look(look.want, now)
        return self.router.explain(look.selection, look.draw.shortlist, look.want, now)

    def survey(
        self, want: Want, known: Iterable[PeerId], now: UnixMs
    ) -> tuple[tuple[Candidate, ...], str, tuple[Effect, ...]]:
        """Return who would do, the cheapest offer of each peer, or why nobody would, and the probes
        of all of them. known: who did before, and is looked at whomever a large mesh shows.
        """
        want = self._name_farm(want)
        _, selection = self._select_in_farm(want, now)
        kept = list(selection.kept)
        seen = {candidate.peer for candidate in kept}
        rest = tuple(peer for peer in known if peer not in seen)
        if rest:
            kept += self._select(replace(want, only=rest), now)[1].kept
        found = tuple(find_cheapest(kept, want))
        asked = self._probes.ask([(c.peer, c.advertisement.addresses) for c in found], now)
        return found, "" if found else selection.why_none, asked

    def is_waiting(self, peers: Sequence[PeerId]) -> bool:
        """Whether the answer of any of these to a probe is still to come."""
        return self._probes.is_waiting(peers)

    def _name_farm(self, want: Want) -> Want:
        """Return the want with its farm, or the profile's, by its id where one farm is meant."""
        farm = want.farm or self.router.profile.farm
        ids = self._directory.get_farm_ids(farm)
        return replace(want, farm=ids[0] if len(ids) == 1 else farm)

    def _explain_farm(self, want: Want) -> str:
        """Say why the farm asked for is none or several, or nothing."""
        if not want.farm:
            return ""
        ids = self._directory.get_farm_ids(want.farm)
        return explain_farm(want.farm, ids, self._directory.farms())

    def _select_in_farm(self, want: Want, now: UnixMs) -> tuple[list[Candidate], Selection]:
        why_none = self._explain_farm(want)
        if why_none:
            return [], Selection(0, (), (), why_none)
        return self._select(want, now)

    def _select(self, want: Want, now: UnixMs) -> tuple[list[Candidate], Selection]:
        group = self._directory.get_group(want.model, want.kind, want.farm, want.family)
        for limit in () if want.only else LIMITS:
            if len(group) <= limit:
                break
            few = self._build(self._reach(group, limit, want, now), want, now)
            selection = self.router.select(few, want, now)
            if len({candidate.peer for candidate in selection.kept}) >= ENOUGH:
                return few, selection
        everybody = self._build(self._find_all(want), want, now)
        return everybody, self.router.select(everybody, want, now)

    def _reach(self, group: Group, limit: int, want: Want, now: UnixMs) -> Iterable[Entry]:
        reach = self.router.profile.picker.reach
        if reach == "cheap":
            peers: Sequence[PeerId] = group.cheapest(limit)
        elif reach == "near":
            peers = group.after(want.prefix, limit)
        else:
            known = self.router.loads.get_newest(now, KNOWN_MAX) if reach == "known" else ()
            drawn = group.sample(limit, self._rng)
            peers = list(dict.fromkeys((*known, *self.router.find_customary(), *drawn)))
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
                serves(offer, want.model, want.kind, want.features, want.family)
                for offer in entry.advertisement.offers
            )
        ]
        if not found:
            found = self._directory.find(
                model=want.model,
                kind=want.kind,
                features=want.features,
                farm=want.farm,
                family=want.family,
            )
        return found or self._directory.entries()

    def _build(self, entries: Iterable[Entry], want: Want, now: UnixMs) -> list[Candidate]:
        get_membership = self._farms.book.get_membership
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
                get_membership(entry.advertisement, want.farm, now) if want.farm else None,
            )
        ]
