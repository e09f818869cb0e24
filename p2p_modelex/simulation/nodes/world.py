"""The world: machines, what is between them, and the births and deaths of their processes."""

import random
from itertools import count

import msgspec

from p2p_modelex.core.node import NodeCore
from p2p_modelex.ids import Address, PeerId
from p2p_modelex.records.ownership import SignedOwnership
from p2p_modelex.simulation.actors.behaviours import BEHAVIOURS
from p2p_modelex.simulation.actors.behaviours.base import be_honest
from p2p_modelex.simulation.actors.behaviours.farming import PAST
from p2p_modelex.simulation.kernel import Kernel
from p2p_modelex.simulation.models.chain import ChainModel
from p2p_modelex.simulation.models.compute import EngineModel, EngineStep
from p2p_modelex.simulation.models.cryptography import Notary
from p2p_modelex.simulation.models.gossip import Router
from p2p_modelex.simulation.models.gossip.caches import SeenBook
from p2p_modelex.simulation.models.host import Host
from p2p_modelex.simulation.models.links import REGIONS, LinkModel, Place
from p2p_modelex.simulation.nodes.disk import Disk
from p2p_modelex.simulation.nodes.farms import found_farms
from p2p_modelex.simulation.nodes.life import Life
from p2p_modelex.simulation.nodes.machine import Machine
from p2p_modelex.simulation.nodes.observer import Observer
from p2p_modelex.simulation.nodes.wires import Wires
from p2p_modelex.simulation.randomness import derive, open_stream
from p2p_modelex.simulation.scenario.settings import Engine
from p2p_modelex.simulation.scenario.tables import Population, Scenario

AGENT = "modelex/simulated"
KEPT_WHOLE_MAX = 300
"""Up to so many machines each keeps the advertisements it persists; of more, every n-th does, where
none is ever started again.
"""


class World:
    """Machines by number; `observer` watches every step of their cores."""

    def __init__(
        self,
        scenario: Scenario,
        kernel: Kernel,
        notary: Notary,
        chain: ChainModel | None,
        observer: Observer,
    ) -> None:
        self.scenario = scenario
        self.kernel = kernel
        self.links = LinkModel(scenario.links)
        self.notary = notary
        self.chain = chain
        self._observer = observer
        self._numbers = count(1)
        # Scores ask when a message came to this very router.
        is_shared = scenario.codec == "objects" and not scenario.gossip.scores
        self._seen = SeenBook(scenario.gossip.seen) if is_shared else None
        self.machines: list[Machine] = []
        self.by_peer: dict[PeerId, Machine] = {}
        self.by_account: dict[Address, Machine] = {}
        self.alive: dict[int, Machine] = {}
        """Machines whose process runs, by number, in the order they came."""
        for population in scenario.population:
            for _ in range(population.count):
                self._place(population)
        self.farms = found_farms(self.machines, notary)

    def open_stream(self, *names: str | int) -> random.Random:
        """Return the random numbers of a purpose."""
        return open_stream(self.scenario.seed, *names)

    def _place(self, population: Population) -> None:
        number = len(self.machines)
        rng = self.open_stream("place", number)
        weights = self.scenario.links.regions or dict.fromkeys(REGIONS, 1.0)
        region = rng.choices(list(weights), list(weights.values()))[0]
        is_hidden = rng.random() < population.hidden
        links = self.open_stream("links", number)
        place = Place(region, population.up, population.down, is_hidden, links)
        seed = derive(self.scenario.seed, "salts", number)
        machine = Machine(
            number,
            population,
            self.notary.open_peer(number),
            self.notary.open_account(number),
            place,
            Disk(seed, keeps_records=self._keeps_records(number)),
        )
        self.machines.append(machine)
        self.by_peer[machine.peer] = machine
        self.by_account[machine.account_signer.address] = machine

    def _keeps_records(self, number: int) -> bool:
        populations = self.scenario.population
        is_restarted = any(one.session for one in populations) or any(
            fault.kind == "crash" for fault in self.scenario.fault
        )
        return is_restarted or number % (1 + self.scenario.nodes // KEPT_WHOLE_MAX) == 0

    def _find(self, peer: PeerId) -> Wires | None:
        machine = self.by_peer.get(peer)
        life = machine.life if machine is not None else None
        return life.wires if life is not None else None

    def birth(self, machine: Machine) -> Life:
        """Start a machine's process: restore what its disk has, begin, and advertise."""
        machine.lives += 1
        machine.joined_us = self.kernel.now
        number = machine.number
        if machine.lives > 1 and machine.population.changes:
            changing = self.open_stream("changes", number, machine.lives)
            machine.edition += changing.random() < machine.population.changes
        proof = machine.build_ownership()
        core = NodeCore(
            machine.build_identity(),
            machine.build_policies(self.scenario, self._list_believed(machine)),
            machine.build_shop(proof),
            self.open_stream("core", number, machine.lives),
            AGENT,
        )
        life = self._build_life(machine, core)
        machine.life = life
        self.alive[number] = machine
        self._restore(machine, life)
        life.begin(self._build_engines(machine, life), self._draw_heartbeat(number))
        self._join_farm(machine, life)
        if machine.advertises:
            self._advertise(machine, life, proof)
        return life

    def _list_believed(self, machine: Machine) -> tuple[Address, ...]:
        names = machine.population.believes
        believed = [one for one in self.machines if names and one.population.name in names]
        return tuple(one.account_signer.address for one in believed)

    def _restore(self, machine: Machine, life: Life) -> None:
        """As `node/restoring.py: restore`."""
        core, chain = life.core, self.chain
        entry = None
        if chain is not None:
            core.begin_in(chain.fetch_split())
            if machine.advertises:
                entry = chain.fetch_registration(life, machine.peer_signer.public_key)
        machine.disk.apply(core.restore(machine.disk.read(), entry))
        core.farming.book.restore(machine.disk.read_farms(life.now_ms), life.now_ms)
        core.directory.restore(machine.disk.records.values(), life.now_ms)

    def _join_farm(self, machine: Machine, life: Life) -> None:
        if machine.population.farm is not None:
            farm, peer = self.farms[machine.population.farm], machine.peer
            past = farm.past.get(peer)
            if past is None:
                certificates, records = (farm.certificates[peer],), (farm.record,)
            else:
                life.memory[PAST] = past
                certificates, records = (past.revoked,), (past.record,)
            life.perform(lambda now: life.core.farming.join(certificates, (), records, now))

    def _advertise(self, machine: Machine, life: Life, proof: SignedOwnership) -> None:
        # Who is behind a NAT does not know it, and advertises where it listens.
        life.perform(lambda now: life.core.advertise((machine.address,), (proof,), now))

    def restock(self, machine: Machine, life: Life, asking: Engine) -> None:
        """Sell at other prices from now on, and say so, as `node/shop.py` has it."""
        machine.asking = asking
        proof = machine.build_ownership()
        shop = machine.build_shop(proof)
        assert shop is not None
        life.core.stock(shop, life.now_ms)
        self._advertise(machine, life, proof)

    def _build_life(self, machine: Machine, core: NodeCore) -> Life:
        number = machine.number
        behaviour = BEHAVIOURS[machine.population.behaviour]
        life = Life(
            number,
            machine.account_signer.address,
            core,
            self.kernel,
            machine.disk,
            self.notary,
            self.chain,
            self._observer,
            cpu=self.scenario.cpu,
            heartbeat_us=self.scenario.gossip.heartbeat,
            twist=None if behaviour is be_honest else behaviour,
        )
        life.wires = Wires(
            life,
            machine.peer,
            machine.address,
            machine.place,
            self.kernel,
            self.links,
            self._find,
            self._numbers,
        )
        life.router = Router(
            self.scenario.gossip,
            self.open_stream("gossip", number, machine.lives),
            life.send_rpc,
            life.judge_message,
            machine.peer,
            # A sequence goes on after a restart: others remember the messages of before.
            machine.lives << 32,
            life.regard,
            self._seen,
        )
        return life

    def _build_engines(self, machine: Machine, life: Life) -> dict[str, EngineModel]:
        engines = machine.population.engines
        rng = self.open_stream("engine", machine.number, machine.lives)
        resident = machine.population.resident or len(engines)
        host = Host(resident, machine.tally, lambda: machine.taken)

        def tell(answer: msgspec.Struct, at: int) -> None:
            self.kernel.at(at, life, answer)

        def build(engine: Engine) -> EngineModel:
            step = EngineStep(engine.model)
            return EngineModel(engine, host, rng, tell, lambda at: self.kernel.at(at, life, step))

        return {engine.model: build(engine) for engine in engines}

    def _draw_heartbeat(self, number: int) -> int:
        return int(self.open_stream("heartbeat", number).random() * self.scenario.gossip.heartbeat)

    def death(self, machine: Machine) -> Life | None:
        """Kill a machine's process, if one runs; returns it."""
        life, machine.life = machine.life, None
        if life is not None:
            del self.alive[machine.number]
            life.end()
        return life
