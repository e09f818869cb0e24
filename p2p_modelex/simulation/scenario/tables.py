"""What a scenario says: who is there, over which links, what they do, what fails, what must hold.

Every field has a bound and every quantity a unit (quantities.py). `scenario_file.py` reads TOML.
"""

from typing import Annotated, Literal, get_args

from msgspec import Meta

from p2p_modelex.limits import DIRECTORY_ENTRIES_MAX, NEIGHBOURS_MIN
from p2p_modelex.records.farm import FarmName
from p2p_modelex.simulation.scenario.quantities import ByteRate, Duration, Money
from p2p_modelex.simulation.scenario.settings import (
    Chain,
    Cpu,
    Engine,
    Gossip,
    Label,
    Links,
    Share,
    Table,
)

NODES_MAX = 100_000
"""A directory entry takes some hundred bytes in each node that holds it: memory ends sooner."""
TABLES_MAX = 64
"""Populations, workloads and faults, each."""

PLUGINS_MAX = 16

Count = Annotated[int, Meta(ge=1, le=NODES_MAX)]


FaultKind = Literal["partition", "clog", "crash", "outage"]
FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)


class Population(Table, frozen=True, kw_only=True):
    """Nodes that are alike. starts, join_over: the first comes then, the others within that time.

    finds: whom they dial to have at least `neighbours` connections: the bootstrap peers alone, as
    net/libp2p does, or any at random, as a node would that asked a DHT. hidden: the share behind a
    NAT that cannot be dialled. session, downtime: mean lengths of being there and away
    (exponential); always there if it has none. behaviour: `honest`, or one of behaviours.py.
    purse: money of each at the start. farm: the one that all are members of, by weights as their
    slots; populations may share it.
    routing: the policy they buy by, one of core/routing's
    profiles or a plug-in's. rates: whether they put ratings of providers on chain: what they saw
    themselves, or all for liars and nothing for the honest. believes: whose ratings they read,
    populations by name.
    """

    name: Label
    count: Count
    role: Literal["provider", "requester", "bootstrap"] = "provider"
    behaviour: Label = "honest"
    routing: Label = "default"
    starts: Duration = Duration(0)
    join_over: Duration = Duration(10_000_000)
    neighbours: Annotated[int, Meta(ge=0, le=128)] = NEIGHBOURS_MIN
    finds: Literal["bootstrap", "random"] = "bootstrap"
    hidden: Share = 0.0
    session: Duration | None = None
    downtime: Duration = Duration(60_000_000)
    up: ByteRate = ByteRate(12_500_000)
    down: ByteRate = ByteRate(12_500_000)
    engine: Engine | None = None
    purse: Money = Money(100 * 10**18)
    deposit: Money = Money(10**18)
    farm: FarmName | None = None
    rates: Literal["never", "honestly", "colluding"] = "never"
    believes: Annotated[tuple[Label, ...], Meta(max_length=8)] = ()


class Workload(Table, frozen=True, kw_only=True):
    """Requests of each node of a population: Poisson, `every` apart on average.

    prompt_tokens, completion_tokens: medians of log-normal lengths; spread: their sigma.
    cancelled: the share whose caller goes away in the middle. window: the most to be ahead. farm:
    whose members alone are asked.
    """

    population: Label
    model: Label = "tiny"
    every: Duration
    starts: Duration = Duration(0)
    lasts: Duration | None = None
    prompt_tokens: Annotated[int, Meta(ge=1, le=100_000)] = 200
    completion_tokens: Annotated[int, Meta(ge=1, le=65_536)] = 120
    spread: Annotated[float, Meta(ge=0.0, le=3.0)] = 0.7
    max_tokens: Annotated[int, Meta(ge=1, le=65_536)] = 512
    attempts: Annotated[int, Meta(ge=1, le=16)] = 3
    cancelled: Share = 0.0
    quoted: Share = 0.0
    window: Money = Money(10**18)
    max_cost: Money = Money(10**18)
    farm: FarmName | None = None


class Fault(Table, frozen=True, kw_only=True):
    """Something that happens to some nodes, `share` of them all or of a population, or the chain.

    partition: what crosses the border of the share waits until it is over; longer than a
    keepalive, connections die. `symmetric = false` cuts only what leaves the share. clog: their
    links deliver nothing meanwhile. crash: their processes are killed and start again when it is
    over. outage: the chain is out of reach.
    """

    kind: FaultKind
    at: Duration
    lasts: Duration
    share: Share = 0.5
    population: Label | None = None
    symmetric: bool = True


class Expectation(Table, frozen=True, kw_only=True):
    """A measure of the summary that must not be over, or under, a number."""

    measure: Label
    at_most: float | None = None
    at_least: float | None = None


class Plugins(Table, frozen=True, kw_only=True):
    """Files that add behaviours, routing policies, measures and checkers (plugin.py): paths from
    the scenario's folder.
    """

    files: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=1024)], ...],
        Meta(max_length=PLUGINS_MAX),
    ] = ()


class Scenario(Table, frozen=True, kw_only=True):
    """One experiment. duration: virtual time. settle: the last part of it, without new requests,
    sessions ending or faults, after which everything must have come to rest.

    crypto: `real`, or `stub` (cryptography.py). codec: `bytes` decodes each message as a node
    does; `objects` decodes equal bytes once for all nodes. registers: providers put an anchor of
    themselves into the registry. entries_max: advertisements that a directory has room for.
    """

    name: Label
    about: Annotated[str, Meta(max_length=1000)] = ""
    duration: Duration
    settle: Duration = Duration(0)
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 1
    crypto: Literal["real", "stub"] = "stub"
    codec: Literal["bytes", "objects"] = "objects"
    registers: bool = False
    entries_max: Annotated[int, Meta(ge=1, le=DIRECTORY_ENTRIES_MAX)] = DIRECTORY_ENTRIES_MAX
    measure_every: Duration = Duration(1_000_000)
    links: Links = Links()
    gossip: Gossip = Gossip()
    chain: Chain | None = None
    cpu: Cpu = Cpu()
    plugin: Plugins = Plugins()
    population: Annotated[tuple[Population, ...], Meta(min_length=1, max_length=TABLES_MAX)]
    workload: Annotated[tuple[Workload, ...], Meta(max_length=TABLES_MAX)] = ()
    fault: Annotated[tuple[Fault, ...], Meta(max_length=TABLES_MAX)] = ()
    hold: Annotated[tuple[Expectation, ...], Meta(max_length=TABLES_MAX)] = ()

    @property
    def nodes(self) -> int:
        """How many nodes there are in all."""
        return sum(population.count for population in self.population)
