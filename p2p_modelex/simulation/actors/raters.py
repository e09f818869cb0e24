"""Raters: buyers that say on chain what they got, and colluders that say what serves their side.

A person judges what a core cannot: whether an answer reads like one. Ratings are accounts', kept
by the registry with the contract's rules, and cores read those of whom they believe (RTE-49).
"""

from collections.abc import Iterator

import msgspec

from p2p_modelex.core import effects as fx
from p2p_modelex.core.outcomes import is_at_fault
from p2p_modelex.core.routing.rating_book import RATING_MAX
from p2p_modelex.ids import PeerId, public_key_of
from p2p_modelex.simulation.models.answers import reads_well
from p2p_modelex.simulation.models.chain import ChainModel
from p2p_modelex.simulation.models.transactions import Rate
from p2p_modelex.simulation.nodes.life import Life
from p2p_modelex.simulation.nodes.machine import Machine

RATE_EVERY_US = 120_000_000
"""A rating costs gas, so it is brought up to date now and then."""
SEEN_MAX = 100_000
"""Pairs of a rater and a provider in a world."""


class Rating(msgspec.Struct, frozen=True, gc=False):
    """It is time for a node to rate."""

    node: int


class Raters:
    """Keeps what each buyer saw of each provider, and has it rated."""

    def __init__(self, machines: list[Machine], chain: ChainModel | None) -> None:
        self._machines = machines
        self._chain = chain
        self._seen: dict[tuple[int, PeerId], list[int]] = {}
        self._told: dict[tuple[int, PeerId], int] = {}
        self.given = 0
        """Ratings put on chain."""

    @property
    def first(self) -> list[Rating]:
        """The events to begin with, RATE_EVERY_US from the start."""
        rates = [one for one in self._machines if one.population.rates != "never"]
        return [Rating(one.number) for one in rates]

    def on_emit(self, life: Life, effect: fx.Emit) -> None:
        """A run of a node went on, or ended."""
        match effect.event:
            case fx.RunFinished(row=row):
                self._note(life, row.peer, is_good=reads_well(row.request, row.completion))
            case fx.RunRestarted(why=failed) | (fx.RunFailed() as failed):
                if failed.peer is not None and is_at_fault(failed):
                    self._note(life, failed.peer, is_good=False)

    def _note(self, life: Life, peer: PeerId, *, is_good: bool) -> None:
        if self._machines[life.number].population.rates == "honestly":
            key = life.number, peer
            if key in self._seen or len(self._seen) < SEEN_MAX:
                self._seen.setdefault(key, [0, 0])[is_good] += 1

    def rate(self, event: Rating, now: int) -> None:
        """Put on chain what a node has to say and has not said."""
        rater = self._machines[event.node]
        if self._chain is None or rater.life is None:
            return
        says = self._judge if rater.population.rates == "honestly" else self._favour
        for other, rating in says(rater):
            key = rater.number, other.peer
            if self._told.get(key) != rating:
                self._told[key] = rating
                self.given += 1
                operator = other.account_signer.address
                said = Rate(public_key_of(other.peer), operator, rating)
                self._chain.call(rater.life, said, now)

    def _judge(self, rater: Machine) -> Iterator[tuple[Machine, int]]:
        """The share of its requests that went well."""
        for other in self._machines:
            bad, good = self._seen.get((rater.number, other.peer), (0, 0))
            if bad or good:
                yield other, RATING_MAX * good // (good + bad)

    def _favour(self, _: Machine) -> Iterator[tuple[Machine, int]]:
        """All for those of its side, nothing for the others, whatever they do."""
        for other in self._machines:
            if other.population.engine is not None:
                yield other, 0 if other.is_honest else RATING_MAX
