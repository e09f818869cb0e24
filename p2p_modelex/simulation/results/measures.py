"""What a run is measured by: counters, distributions, a sample every so often, and a summary."""

import statistics
from collections.abc import Collection, Mapping

import msgspec

from p2p_modelex.core import effects as fx
from p2p_modelex.ids import PeerId, public_key_of
from p2p_modelex.records.rows import RecordRow, Row
from p2p_modelex.simulation.actors.workload import Customers
from p2p_modelex.simulation.checks.exposure import Exposure
from p2p_modelex.simulation.models.chain import ChainModel
from p2p_modelex.simulation.models.fees import GWEI
from p2p_modelex.simulation.models.gossip import Message
from p2p_modelex.simulation.nodes.life import START_MS, Life
from p2p_modelex.simulation.nodes.world import World
from p2p_modelex.simulation.results.providers import Providers
from p2p_modelex.simulation.results.settling import Settling
from p2p_modelex.simulation.results.spread import Spread, percentiles
from p2p_modelex.simulation.scenario.quantities import seconds
from p2p_modelex.units import AI

PAIRS_MAX = 20_000
"""Pairs of a node and an advertiser that a sample looks at; of more nodes, some are drawn."""
CALM = 3
"""Requests in hand, in the whole world, that nobody would call a crowd."""
SAMPLES_MAX = 100_000
"""Samples kept in a run."""
MS = 1000
"""Microseconds."""


class Sampled(msgspec.Struct, frozen=True):
    """The world at one time. known: the share of directory entries there could be that are there,
    about. is_complete: whether every node has as many as there are advertisers that are up, and
    those that were looked at have each of them.
    tokens, paid_ai: of completions, and what honest requesters paid for them, until then.
    sold_ahead_ai, bought_ahead_ai: how far honest providers are ahead of their payers, and honest
    requesters of their providers. asked_ai: for 1,000 completion tokens, by providers in the mean.
    """

    at_s: float
    nodes: int
    connections: int
    known: float
    is_complete: bool
    running: int
    finished: int
    failed: int
    sent_bytes: int
    events: int
    pending: int
    tokens: int
    paid_ai: float
    sold_ahead_ai: float
    bought_ahead_ai: float
    asked_ai: float


class Measures:
    """Counts while a world runs."""

    def __init__(
        self, world: World, customers: Customers, exposure: Exposure, settling: Settling
    ) -> None:
        self._world = world
        self._customers = customers
        self._exposure = exposure
        self._settling = settling
        self._rng = world.open_stream("sampling")
        self.samples: list[Sampled] = []
        self.gossip_delay = Spread()
        self.gossip_hops = Spread()
        self.record_delay = Spread()
        self.offences: dict[str, int] = {}
        self.providers = Providers(world)
        self.duplicates = self.deliveries = self.frames = self.tokens = 0

    def on_gossip(self, life: Life, message: Message) -> None:
        """A message was delivered for the first time."""
        self.gossip_delay.add(life.kernel.now - message.published_us)
        self.gossip_hops.add(message.hops + 1)

    def on_rows(self, life: Life, rows: tuple[Row, ...]) -> None:
        """How old advertisements are when nodes that were up all the time have them."""
        began_ms = START_MS + self._world.machines[life.number].joined_us // 1000
        for row in rows:
            if isinstance(row, RecordRow) and row.peer != life.peer and row.sequence >= began_ms:
                self.record_delay.add(life.kernel.now - (row.sequence - START_MS) * 1000)

    def on_penalize(self, _: Life, effect: fx.Penalize) -> None:
        """Somebody is blamed."""
        self.offences[effect.offence] = self.offences.get(effect.offence, 0) + 1

    def forget(self, life: Life) -> None:
        """A process is over: what it counted goes into the sums."""
        self.duplicates += life.router.tally.duplicates
        self.deliveries += life.router.tally.delivered
        self.frames += life.wires.frames

    def sample(self) -> None:
        """Take a sample."""
        world, customers = self._world, self._customers
        lives = [machine.life for machine in world.alive.values() if machine.life is not None]
        known = sum(len(life.core.directory) for life in lives)
        advertisers = [machine.peer for machine in world.alive.values() if machine.advertises]
        sold, bought = self._exposure.compute_ahead()
        sampled = Sampled(
            at_s=seconds(world.kernel.now),
            nodes=len(lives),
            connections=sum(len(life.wires.connections) for life in lives) // 2,
            known=min(1.0, known / max(1, len(lives) * len(advertisers))),
            is_complete=self._is_complete(lives, advertisers),
            running=customers.running,
            finished=customers.finished,
            failed=customers.failed,
            sent_bytes=sum(machine.place.bytes_sent for machine in world.machines),
            events=world.kernel.events,
            pending=world.kernel.pending,
            tokens=customers.tokens,
            paid_ai=customers.paid / AI,
            sold_ahead_ai=sold / AI,
            bought_ahead_ai=bought / AI,
            asked_ai=_mean(self._find_prices().values()),
        )
        if len(self.samples) < SAMPLES_MAX:
            self.samples.append(sampled)

    def _find_prices(self) -> dict[str, float]:
        """What 1,000 completion tokens cost at each population that sells, in AI, in the mean."""
        prices: dict[str, list[float]] = {}
        for machine in self._world.alive.values():
            engine = machine.asking or machine.population.engine
            if engine is not None:
                asked = prices.setdefault(machine.population.name, [])
                asked.append(engine.completion_price / AI)
        return {name: _mean(asked) for name, asked in prices.items()}

    def _is_complete(self, lives: list[Life], advertisers: list[PeerId]) -> bool:
        most = max(1, PAIRS_MAX // max(1, len(advertisers)))
        looked = self._rng.sample(lives, most) if len(lives) > most else lives
        if any(len(life.core.directory) < len(advertisers) for life in lives):
            return False
        keys = [public_key_of(peer) for peer in advertisers]
        indexes = [life.core.directory.index for life in looked]
        return all(index.get(key) is not None for index in indexes for key in keys)

    def summarise(self) -> dict[str, float]:
        """Return every measure by name; what did not happen is not there."""
        for machine in self._world.alive.values():
            if machine.life is not None:
                self.forget(machine.life)
        kernel = self._world.kernel
        found: dict[str, float] = {
            "nodes": len(self._world.machines),
            "events": kernel.events,
            "virtual_s": seconds(kernel.now),
            "frames": self.frames,
            "sent_bytes": sum(machine.place.bytes_sent for machine in self._world.machines),
        }
        found |= self._summarise_mesh() | self._summarise_honest() | self._summarise_requests()
        found |= self.providers.summarise()
        found |= {f"offence_{name}": count for name, count in sorted(self.offences.items())}
        if self._world.chain is not None:
            found |= self._summarise_chain(self._world.chain)
        return found

    def _summarise_chain(self, chain: ChainModel) -> dict[str, float]:
        found = chain.blocks.tally.summarise()
        found |= percentiles("transaction_s", chain.blocks.tally.waits, 1_000_000)
        found["base_fee_gwei_max"] = chain.blocks.market.highest / GWEI
        found |= percentiles("redeem_s", self._settling.waits, 1_000_000)
        found |= self._settling.summarise(chain)
        if any(one.pricing is not None for one in self._world.scenario.population):
            asked = self._find_prices().items()
            found |= {f"asked_ai_{name}": price for name, price in asked}
        return found

    def _summarise_mesh(self) -> dict[str, float]:
        found: dict[str, float] = {"gossip_deliveries": self.deliveries}
        found["gossip_duplicates"] = self.duplicates
        found |= percentiles("gossip_delay_ms", self.gossip_delay, MS)
        found |= percentiles("gossip_hops", self.gossip_hops, 1)
        found |= percentiles("record_delay_ms", self.record_delay, MS)
        if self.samples:
            found["known"] = self.samples[-1].known
        complete_at = self.find_complete()
        if complete_at is not None:
            found["complete_at_s"] = complete_at
        return found

    def _summarise_honest(self) -> dict[str, float]:
        """What share of the honest advertisers the honest nodes know, in the mean and at least."""
        honest = [one for one in self._world.alive.values() if one.is_honest]
        peers = [one.peer for one in honest if one.advertises]
        lives = [one.life for one in honest if one.life is not None]
        most = max(1, PAIRS_MAX // max(1, len(peers)))
        looked = self._rng.sample(lives, most) if len(lives) > most else lives
        shares = [
            sum(life.core.directory.get(peer) is not None for peer in peers) / len(peers)
            for life in looked
            if peers
        ]
        if not shares:
            return {}
        return {"honest_known": sum(shares) / len(shares), "honest_known_min": min(shares)}

    def find_calm(self) -> float | None:
        """Return since when, for good, no more requests are in hand than is usual where there are
        any, twice, and CALM; None if there are more in the end.
        """
        counts = [sampled.running for sampled in self.samples if sampled.running]
        most = 2 * statistics.median(counts or [0]) + CALM
        since = None
        for sampled in reversed(self.samples):
            if sampled.running > most:
                break
            since = sampled.at_s
        return since

    def find_complete(self) -> float | None:
        """Return since when directories have been complete, seconds; None if they are not."""
        since = None
        for sampled in reversed(self.samples):
            if not sampled.is_complete:
                break
            since = sampled.at_s
        return since

    def _summarise_requests(self) -> dict[str, float]:
        customers = self._customers
        if not customers.asked:
            return {}
        found: dict[str, float] = {
            "requests": customers.asked,
            "finished": customers.finished,
            "finished_share": customers.finished / customers.asked,
            "restarted": customers.restarted,
            "interrupted": customers.interrupted,
            "completion_tokens": customers.tokens,
            "paid_ai": customers.paid / AI,
        }
        if customers.finished:
            found["sensible_share"] = customers.sensible / customers.finished
        if customers.tokens:
            found["paid_ai_ktoken"] = customers.paid / AI * 1000 / customers.tokens
        if customers.declined:
            found["declined"] = customers.declined
        found |= percentiles("first_text_ms", customers.first_text, MS)
        found |= percentiles("whole_ms", customers.whole, MS)
        calm_at = self.find_calm() if self.samples else None
        if calm_at is not None:
            found["calm_at_s"] = calm_at
        failures: Mapping[str, int] = customers.codes
        return found | {f"failed_{code}": count for code, count in sorted(failures.items())}


def _mean(values: Collection[float]) -> float:
    return sum(values) / len(values) if values else 0.0
