"""What a scenario says: who is there, over which links, what they do, what fails, what must hold.

Every field has a bound and every quantity a unit (quantities.py). `scenario_file.py` reads TOML.
"""

from typing import Annotated, Literal, get_args

from msgspec import Meta

from p2p_modelex.limits import NEIGHBOURS_MIN
from p2p_modelex.simulation.scenario.quantities import ByteRate, Duration, Money
from p2p_modelex.simulation.scenario.settings import (
    Chain,
    Cpu,
    Engine,
    Gossip,
    Label,
    Links,
    Messages,
    Shards,
    Share,
    Table,
)

NODES_MAX = 100_000
"""A directory entry takes some hundred bytes in each node that holds it: memory ends sooner."""
TABLES_MAX = 64
"""Populations, workloads and faults, each."""

Count = Annotated[int, Meta(ge=1, le=NODES_MAX)]


FaultKind = Literal["partition", "clog", "crash", "outage"]
FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)


class Population(Table, frozen=True, kw_only=True):
    """Nodes that are alike. starts, join_over: the first comes then, the others within that time.

    finds: whom they dial to have at least `neighbours` connections: the bootstrap peers alone, as
    net/libp2p does, or any at random, as a node would that asked a DHT. hidden: the share behind a
    NAT that cannot be dialled. session, downtime: mean lengths of being there and away
    (exponential); always there if it has none. behaviour: `honest`, or one of behaviours.py.
    purse: money of each at the start.

    role `router`: a gossip router without a core; then all populations are routers, and behaviours
    are those of gossipers.py. dials: the populations that a router dials, all if empty. addresses:
    IP addresses that the population shares, one each if 0. turns: when a router that misbehaves
    begins to. victims: the population whose messages a censor keeps back, and that is measured
    apart.
    """

    name: Label
    count: Count
    role: Literal["provider", "requester", "bootstrap", "router"] = "provider"
    behaviour: Label = "honest"
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
    dials: Annotated[tuple[Label, ...], Meta(max_length=TABLES_MAX)] = ()
    addresses: Annotated[int, Meta(ge=0, le=NODES_MAX)] = 0
    turns: Duration = Duration(0)
    victims: Label | None = None


class Workload(Table, frozen=True, kw_only=True):
    """Requests of each node of a population: Poisson, `every` apart on average.

    prompt_tokens, completion_tokens: medians of log-normal lengths; spread: their sigma.
    cancelled: the share whose caller goes away in the middle. window: the most to be ahead.
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


class Scenario(Table, frozen=True, kw_only=True):
    """One experiment. duration: virtual time. settle: the last part of it, without new requests,
    sessions ending or faults, after which everything must have come to rest.

    crypto: `real`, or `stub` (cryptography.py). codec: `bytes` decodes each message as a node
    does; `objects` decodes equal bytes once for all nodes. registers: providers put an anchor of
    themselves into the registry. messages, shards: where there are routers alone.
    """

    name: Label
    about: Annotated[str, Meta(max_length=1000)] = ""
    duration: Duration
    settle: Duration = Duration(0)
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 1
    crypto: Literal["real", "stub"] = "stub"
    codec: Literal["bytes", "objects"] = "objects"
    registers: bool = False
    measure_every: Duration = Duration(1_000_000)
    links: Links = Links()
    gossip: Gossip = Gossip()
    messages: Messages | None = None
    shards: Shards = Shards()
    chain: Chain | None = None
    cpu: Cpu = Cpu()
    population: Annotated[tuple[Population, ...], Meta(min_length=1, max_length=TABLES_MAX)]
    workload: Annotated[tuple[Workload, ...], Meta(max_length=TABLES_MAX)] = ()
    fault: Annotated[tuple[Fault, ...], Meta(max_length=TABLES_MAX)] = ()
    hold: Annotated[tuple[Expectation, ...], Meta(max_length=TABLES_MAX)] = ()

    @property
    def has_cores(self) -> bool:
        """Whether its nodes are more than gossip routers."""
        return any(population.role != "router" for population in self.population)

    @property
    def nodes(self) -> int:
        """How many nodes there are in all."""
        return sum(population.count for population in self.population)
