"""A run: a scenario's world put together, advanced, checked, and summed up.

The Python interface: `with Simulation(scenario) as run: run.advance(...); result = run.finish()`.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Self

import msgspec

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as inp
from p2p_modelex.errors import SimulationError
from p2p_modelex.ids import PeerId
from p2p_modelex.records.rows import Row
from p2p_modelex.simulation import seams
from p2p_modelex.simulation.actors.director import Director
from p2p_modelex.simulation.actors.raters import Raters
from p2p_modelex.simulation.actors.workload import Customers
from p2p_modelex.simulation.checks.bills import Bills
from p2p_modelex.simulation.checks.checkers import Checkers
from p2p_modelex.simulation.checks.exposure import Exposure
from p2p_modelex.simulation.checks.knowledge import check_directories
from p2p_modelex.simulation.checks.memberships import Memberships
from p2p_modelex.simulation.kernel import Kernel
from p2p_modelex.simulation.models.chain import ChainModel
from p2p_modelex.simulation.models.cryptography import Notary, RealScheme, StubScheme
from p2p_modelex.simulation.models.gossip import Message
from p2p_modelex.simulation.models.transactions import Transaction
from p2p_modelex.simulation.nodes.catalogue import Catalogue
from p2p_modelex.simulation.nodes.life import START_MS, Life
from p2p_modelex.simulation.nodes.world import World
from p2p_modelex.simulation.plugin import find_place, find_wrong, take_measures
from p2p_modelex.simulation.randomness import open_stream
from p2p_modelex.simulation.results.distributions import Step, list_steps
from p2p_modelex.simulation.results.measures import Measures, Sampled
from p2p_modelex.simulation.results.network import Network, draw_network
from p2p_modelex.simulation.results.settling import Settling
from p2p_modelex.simulation.scenario.quantities import seconds
from p2p_modelex.simulation.scenario.tables import Expectation, Scenario

SCANS = 4
"""Directories looked through at each sample, in turn."""


class Result(msgspec.Struct, frozen=True):
    """What came of a run. digest: SHA-256 of every event. unmet: what the scenario asks in vain.
    steps: its distributions. is_whole: whether it came to its end; nothing is held of it if not.
    """

    scenario: str
    seed: int
    digest: str
    measures: dict[str, float]
    samples: tuple[Sampled, ...]
    unmet: tuple[str, ...]
    steps: tuple[Step, ...] = ()
    network: Network = Network()
    is_whole: bool = True


@contextmanager
def explaining(kernel: Kernel) -> Iterator[None]:
    """Turn whatever breaks a run into a SimulationError that says when and where."""
    try:
        yield
    except SimulationError:
        raise
    except (Exception, SystemExit) as error:  # a bug, or a plug-in's
        at, place = seconds(kernel.now), find_place(error)
        raise SimulationError(f"at {at:.6f} s {place} broke: {error!r}") from error


class Simulation:
    """One run of a scenario. Use as a context manager: it stands in for the signatures meanwhile,
    so one is entered at a time.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.kernel = Kernel()
        seed = scenario.seed
        scheme = RealScheme(seed) if scenario.crypto == "real" else StubScheme(seed)
        self.notary = Notary(scheme, scenario.cpu.signatures)
        self._stack = ExitStack()
        self._watch = _Watch()
        self._scanned = 0
        self.chain = self._build_chain()
        self.world = World(scenario, self.kernel, self.notary, self.chain, self._watch)
        self.checkers = Checkers(self.world.by_peer, self.notary, self.chain)
        self.customers = Customers(
            scenario.workload,
            self.kernel,
            scenario.duration - scenario.settle,
            self.world.open_stream,
            self._is_honest,
            self._find_epoch,
        )
        self.raters = Raters(self.world.machines, self.chain)
        self.exposure = Exposure(self._is_honest)
        self.settling = Settling(self.world)
        self.measures = Measures(self.world, self.customers, self.exposure, self.settling)
        self.bills = Bills(self._find_epoch)
        self.memberships = Memberships(self.world, self.notary, self.chain)
        self._watch.wire(self)
        self.director = Director(
            self.world, self.customers, self.raters, self._sample, self._on_death
        )

    def _build_chain(self) -> ChainModel | None:
        settings = self.scenario.chain
        if settings is None:
            return None
        seed = self.scenario.seed
        clock = lambda: (START_MS + self.kernel.now // 1000) // 1000  # noqa: E731
        return ChainModel(
            settings, self.kernel, lambda name: open_stream(seed, name), clock, self._on_mined
        )

    def _on_mined(self, one: Transaction) -> None:
        assert self.chain is not None
        self.checkers.check_supply(self.chain.ledger)
        self.settling.on_mined(one)

    def __enter__(self) -> Self:
        shares = self.scenario.codec == "objects"
        catalogue = Catalogue(self.notary, self.scenario.nodes) if shares else None
        self._stack.enter_context(seams.entered(self.notary, catalogue))
        self._mint()
        self.director.plan()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def _mint(self) -> None:
        if self.chain is not None:
            for machine in self.world.machines:
                purse = machine.population.purse
                self.chain.ledger.mint(machine.account_signer.address, purse)
                self.checkers.minted += purse
            self.chain.begin()

    def advance(self, until_us: int) -> None:
        """Let virtual time pass. SimulationError if a checker finds a breach, or a node breaks."""
        with explaining(self.kernel):
            self.kernel.run(min(until_us, self.scenario.duration))

    def finish(self) -> Result:
        """Run to the end, check what must hold there, and sum up."""
        self.advance(self.scenario.duration)
        found = self.sum_up()
        if self.scenario.settle:
            self.customers.check_ended()
            over = self.scenario.duration - self.scenario.settle
            check_directories(self.world, START_MS + over // 1000)
        unmet = list_unmet(self.scenario, found.measures)
        return msgspec.structs.replace(found, unmet=unmet, is_whole=True)

    def sum_up(self) -> Result:
        """Sum up what was measured until now, once; the run is over then."""
        measures = self.measures.summarise() | self.exposure.losses.summarise()
        with explaining(self.kernel):
            measures |= take_measures(self, measures)
        return Result(
            self.scenario.name,
            self.scenario.seed,
            self.kernel.trace.compute_digest(),
            measures,
            tuple(self.measures.samples),
            (),
            list_steps(self.measures, self.customers),
            draw_network(self.world),
            is_whole=False,
        )

    def name_peers(self) -> dict[bytes, str]:
        """Return what nodes are called in a trace, by peer id and by key."""
        return {
            name: f"node {machine.number}"
            for machine in self.world.machines
            for name in (machine.peer, machine.peer_signer.public_key)
        }

    def _is_honest(self, life: Life) -> bool:
        return self.world.machines[life.number].is_honest

    def _find_epoch(self) -> int:
        return self.chain.blocks.splits.epoch if self.chain is not None else 0

    def _sample(self) -> None:
        self.measures.sample()
        wrong = find_wrong(self)
        if wrong:
            raise SimulationError(f"at {seconds(self.kernel.now):.6f} s: {wrong}")
        if self.chain is not None and self.chain.has_reorgs:
            self.settling.sample(self.chain)
        alive = list(self.world.alive.values())
        for at in range(self._scanned, self._scanned + min(SCANS, len(alive))):
            life = alive[at % len(alive)].life
            if life is not None and self._is_honest(life):
                self.checkers.check_directory(life)
        self._scanned += SCANS

    def _on_death(self, life: Life) -> None:
        self.measures.forget(life)
        self.customers.forget(life)
        self.exposure.forget(life)


def find_unmet(wanted: Expectation, measures: Mapping[str, float]) -> str | None:
    """Return how a measure falls short of what is asked of it, None if it does not."""
    value = measures.get(wanted.measure)
    if value is None:
        return f"{wanted.measure} was not measured"
    if wanted.at_most is not None and value > wanted.at_most:
        return f"{wanted.measure} is {value:g}, over {wanted.at_most:g}"
    if wanted.at_least is not None and value < wanted.at_least:
        return f"{wanted.measure} is {value:g}, under {wanted.at_least:g}"
    return None


def list_unmet(scenario: Scenario, measures: dict[str, float]) -> tuple[str, ...]:
    """Return all that a scenario asks in vain."""
    told = (find_unmet(wanted, measures) for wanted in scenario.hold)
    return tuple(one for one in told if one is not None)


class _Watch:
    """Leads what happens to those who want to know, by its class."""

    def __init__(self) -> None:
        self._effects: dict[type, tuple[Callable[[Life, Any], None], ...]] = {}
        self._rows: tuple[Callable[[Life, tuple[Row, ...]], None], ...] = ()
        self._inputs: dict[type, Callable[[Life, Any], None]] = {}
        self._ban: Callable[[Life, PeerId], None] | None = None
        self._gossip: Callable[[Life, Message], None] | None = None

    def wire(self, run: Simulation) -> None:
        """Say who wants what."""
        checkers, exposure, measures = run.checkers, run.exposure, run.measures
        has_farms = any(one.farm for one in run.scenario.population)
        on_sent = (measures.providers.on_sent, run.memberships.on_sent) if has_farms else ()
        on_opened = (run.memberships.on_opened,) if has_farms else ()
        self._effects = {
            fx.Send: (exposure.on_sent, *on_sent),
            fx.OpenStream: on_opened,
            fx.CloseStream: (exposure.on_ended,),
            fx.ResetStream: (exposure.on_ended,),
            fx.Penalize: (checkers.on_penalize, measures.on_penalize),
            fx.OpenChannel: (checkers.on_deposit,),
            fx.TopUpChannel: (checkers.on_deposit,),
            fx.Emit: (run.customers.on_emit, run.raters.on_emit, run.bills.on_emit),
        }
        self._inputs = {
            inp.FrameReceived: exposure.on_received,
            inp.StreamEnded: exposure.on_lost,
            inp.RunRequested: run.bills.on_asked,
        }
        self._ban = checkers.on_ban
        self._rows = (checkers.on_rows, measures.on_rows, run.settling.on_rows)
        self._rows += (run.memberships.on_rows,) if has_farms else ()
        self._gossip = measures.on_gossip

    def on_input(self, life: Life, happened: inp.Input) -> None:
        """See observer.Observer."""
        take = self._inputs.get(type(happened))
        if take is not None:
            take(life, happened)

    def on_effect(self, life: Life, effect: fx.Effect, _: int) -> None:
        """See observer.Observer."""
        for take in self._effects.get(type(effect), ()):
            take(life, effect)

    def on_rows(self, life: Life, rows: tuple[Row, ...]) -> None:
        """See observer.Observer."""
        for take in self._rows:
            take(life, rows)

    def on_ban(self, life: Life, peer: PeerId) -> None:
        """See observer.Observer."""
        if self._ban is not None:
            self._ban(life, peer)

    def on_gossip(self, life: Life, message: Message) -> None:
        """See observer.Observer."""
        if self._gossip is not None:
            self._gossip(life, message)
