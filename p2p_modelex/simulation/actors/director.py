"""The director: who comes and goes, whom they dial, what fails. Its events have the number -1."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from p2p_modelex.core.inputs import ShutDown
from p2p_modelex.ids import Address
from p2p_modelex.simulation.actors.conversations import Reply
from p2p_modelex.simulation.actors.neighbourhood import Keep, Neighbourhood
from p2p_modelex.simulation.actors.pricing import Pricers, Reprice
from p2p_modelex.simulation.actors.raters import RATE_EVERY_US, Raters, Rating
from p2p_modelex.simulation.actors.workload import Arrival, Customers
from p2p_modelex.simulation.models.chain import ChainModel
from p2p_modelex.simulation.models.links import KEEPALIVE_US, Cut
from p2p_modelex.simulation.models.transactions import StartClose
from p2p_modelex.simulation.nodes.life import Life
from p2p_modelex.simulation.nodes.machine import Machine
from p2p_modelex.simulation.nodes.world import World
from p2p_modelex.simulation.randomness import draw_time
from p2p_modelex.simulation.scenario.tables import Fault

NUMBER = -1
"""The director's number in the trace."""


class Join(msgspec.Struct, frozen=True, gc=False):
    """A machine's process starts."""

    node: int


class Leave(msgspec.Struct, frozen=True, gc=False):
    """A session ends: the process is killed, as most end."""

    node: int
    life: int


class Goodbye(msgspec.Struct, frozen=True, gc=False):
    """A session is about to end: the process takes nothing new, and says that it goes."""

    node: int
    life: int


class Begin(msgspec.Struct, frozen=True, gc=False):
    """A fault begins."""

    fault: int


class Starve(msgspec.Struct, frozen=True, gc=False):
    """Connections across a partition have been silent for too long."""

    fault: int


class Over(msgspec.Struct, frozen=True, gc=False):
    """A fault is over."""

    fault: int


class Sample(msgspec.Struct, frozen=True, gc=False):
    """It is time to measure."""


class Operator:
    """Whoever acts for a machine's account beside its node, which may not run."""

    def __init__(self, machine: Machine) -> None:
        self.number = machine.number
        self.account = machine.account_signer.address
        self.is_over = False

    def receive(self, event: msgspec.Struct) -> None:
        """Take an answer; it looks at the chain itself."""


class Director:
    """Plans a scenario's events at the start, and carries them out."""

    def __init__(
        self,
        world: World,
        customers: Customers,
        raters: Raters,
        on_sample: Callable[[], None],
        on_death: Callable[[Life], None],
    ) -> None:
        self.number = NUMBER
        self._world = world
        self._kernel = world.kernel
        self._customers = customers
        self._raters = raters
        self._on_sample = on_sample
        self._on_death = on_death
        self._until = world.scenario.duration - world.scenario.settle
        self._joining = world.open_stream("joining")
        self._inside: dict[int, dict[int, None]] = {}
        self._neighbourhood = Neighbourhood(world, self)
        self._pricers = Pricers(world, self)
        self._takes: dict[type, Callable[[Any], None]] = {
            Join: self._on_join,
            Leave: self._on_leave,
            Goodbye: self._on_goodbye,
            Keep: self._neighbourhood.keep,
            Reprice: self._pricers.look,
            Begin: self._on_begin,
            Starve: self._on_starve,
            Over: self._on_over,
            Sample: self._on_sampling,
            Arrival: self._on_arrival,
            Rating: self._on_rating,
            Reply: self._on_arrival,
        }

    def plan(self) -> None:
        """Ask for everything that is known from the start."""
        for machine in self._world.machines:
            population = machine.population
            at = population.starts + int(self._joining.random() * population.join_over)
            self._kernel.at(at, self, Join(machine.number))
            self._customers.plan(machine, self._tell)
        for first in self._raters.first:
            self._kernel.at(RATE_EVERY_US, self, first)
        for index, fault in enumerate(self._world.scenario.fault):
            self._kernel.at(fault.at, self, Begin(index))
        self._kernel.at(self._world.scenario.measure_every, self, Sample())

    def receive(self, event: msgspec.Struct) -> None:
        """Carry an event out."""
        self._takes[type(event)](event)

    def _tell(self, at: int, arrival: Arrival | Reply) -> None:
        self._kernel.at(at, self, arrival)

    def _on_arrival(self, event: Arrival | Reply) -> None:
        self._customers.arrive(event, self._world.machines[event.node].life)

    def _on_rating(self, event: Rating) -> None:
        self._raters.rate(event, self._kernel.now)
        self._kernel.at(self._kernel.now + RATE_EVERY_US, self, event)

    def _on_sampling(self, event: Sample) -> None:
        self._on_sample()
        self._kernel.at(self._kernel.now + self._world.scenario.measure_every, self, event)

    # Coming and going.

    def _on_join(self, event: Join) -> None:
        machine = self._world.machines[event.node]
        if machine.life is not None:
            return
        self._world.birth(machine)
        self._neighbourhood.begin(machine)
        self._pricers.begin(machine)
        session = machine.population.session
        if session is not None:
            rng = self._world.open_stream("session", machine.number, machine.lives)
            shape = machine.population.session_shape
            ends = self._kernel.now + draw_time(rng, session, shape)
            if ends < self._until:
                is_sudden = machine.population.goodbye is None
                kind = Leave if is_sudden else Goodbye
                self._kernel.at(ends, self, kind(machine.number, machine.lives))

    def _on_goodbye(self, event: Goodbye) -> None:
        """As `node/node.py: leave`."""
        machine = self._world.machines[event.node]
        life, grace = machine.life, machine.population.goodbye
        if life is None or machine.lives != event.life or grace is None:
            return
        life.take(ShutDown())
        life.perform(life.core.withdraw)
        self._kernel.at(self._kernel.now + grace, self, Leave(event.node, event.life))

    def _on_leave(self, event: Leave) -> None:
        machine = self._world.machines[event.node]
        if machine.lives != event.life or machine.life is None:
            return
        self._kill(machine)
        rng = self._world.open_stream("downtime", machine.number, machine.lives)
        away = draw_time(rng, machine.population.downtime)
        back = min(self._kernel.now + away, self._until)
        self._kernel.at(back, self, Join(machine.number))

    def _kill(self, machine: Machine) -> None:
        life = self._world.death(machine)
        if life is not None:
            self._on_death(life)

    # Faults.

    def _on_begin(self, event: Begin) -> None:
        fault = self._world.scenario.fault[event.fault]
        until = self._kernel.now + fault.lasts
        is_about_nodes = fault.kind != "split"
        inside = self._choose(fault, event.fault) if is_about_nodes else {}
        self._inside[event.fault] = inside
        match fault.kind:
            case "partition":
                self._world.links.cuts.append(Cut(until, frozenset(inside), fault.symmetric))
                if fault.lasts > KEEPALIVE_US:
                    self._kernel.at(self._kernel.now + KEEPALIVE_US, self, Starve(event.fault))
            case "clog":
                for number in inside:
                    self._world.machines[number].place.clogged_until = until
            case "crash":
                for number in inside:
                    self._kill(self._world.machines[number])
            case "antagonist":
                self._share_machines(inside)
            case _:
                assert self._world.chain is not None
                self._trouble(self._world.chain, fault, inside, until)
        self._kernel.at(until, self, Over(event.fault))

    def _trouble(
        self, chain: ChainModel, fault: Fault, inside: dict[int, None], until: int
    ) -> None:
        """Begin a fault of the chain."""
        weather = chain.blocks.weather
        match fault.kind:
            case "outage":
                weather.down_until = until
            case "congestion":
                chain.blocks.market.factor = fault.factor
            case "censorship":
                weather.censored_until, weather.share = until, fault.share
                weather.nodes = frozenset(self._find(fault))
            case "split":
                chain.announce_split(until, round(fault.share * fault.lasts))
            case "closing":
                payers = {self._world.machines[number].account_signer.address for number in inside}
                for state in chain.ledger.get_channels():
                    if state.payer in payers and state.is_open:
                        operator = Operator(self._world.by_account[Address(state.payer)])
                        chain.call(operator, StartClose(state.terms), self._kernel.now)

    def _find(self, fault: Fault) -> list[int]:
        """The machines that a fault may be about."""
        return [
            machine.number
            for machine in self._world.machines
            if fault.population in (None, machine.population.name)
            and (not fault.regions or machine.place.region in fault.regions)
        ]

    def _choose(self, fault: Fault, index: int) -> dict[int, None]:
        machines = self._find(fault)
        rng = self._world.open_stream("fault", index)
        return dict.fromkeys(rng.sample(machines, round(fault.share * len(machines))))

    def _on_starve(self, event: Starve) -> None:
        """Both ends of a connection that a partition has silenced give it up."""
        inside = self._inside[event.fault]
        for number in inside:
            life = self._world.machines[number].life
            if life is None:
                continue
            for connection in list(life.wires.connections.values()):
                is_ours = connection.opener is life.wires
                other = connection.other if is_ours else connection.opener
                if other.process.number not in inside:
                    life.wires.lose(connection)
                    other.lose(connection)

    def _on_over(self, event: Over) -> None:
        inside = self._inside.pop(event.fault)
        match self._world.scenario.fault[event.fault].kind:
            case "crash":
                for number in inside:
                    self._kernel.at(self._kernel.now, self, Join(number))
            case "antagonist":
                self._share_machines(inside)
            case "congestion":
                assert self._world.chain is not None
                self._world.chain.blocks.market.factor = 1.0

    def _share_machines(self, numbers: Iterable[int]) -> None:
        """Of several antagonists the greediest counts."""
        faults = self._world.scenario.fault
        takers = [
            (faults[index].takes, inside)
            for index, inside in self._inside.items()
            if faults[index].kind == "antagonist"
        ]
        for number in numbers:
            taken = (takes for takes, inside in takers if number in inside)
            self._world.machines[number].taken = max(taken, default=0.0)
