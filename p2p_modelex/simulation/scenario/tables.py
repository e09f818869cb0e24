"""What a scenario says: who is there, over which links, what they do, what fails, what must hold.

Every field has a bound and every quantity a unit (quantities.py). `scenario_file.py` reads TOML.
"""

from typing import Annotated, Literal, get_args

from msgspec import Meta

from p2p_modelex.core.routing.profile import CHOICES, Profile, build_profile
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
    Messages,
    Shards,
    Share,
    Table,
)

NODES_MAX = 100_000
"""A directory entry takes some hundred bytes in each node that holds it: memory ends sooner."""
TABLES_MAX = 64
"""Populations, workloads and faults, each."""

PLUGINS_MAX = 16

Count = Annotated[int, Meta(ge=1, le=NODES_MAX)]


FaultKind = Literal[
    "partition", "clog", "crash", "outage", "congestion", "censorship", "closing", "antagonist"
]
FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)
ON_CHAIN: tuple[FaultKind, ...] = ("outage", "congestion", "censorship", "closing")
"""Those that need a chain."""


PRICING_POLICIES = ("cost-plus", "undercut", "surge")


class Pricing(Table, frozen=True, kw_only=True):
    """How a provider sets its prices, every so often; what changes is advertised anew.

    cost: of 1,000 completion tokens; nobody sells under it. cost-plus: that and `margin` of it.
    undercut: `step` of it under the cheapest other that its own directory has, and no more than its
    engine's price. surge: its engine's price, and `step` of it more for each share of its slots
    that is taken. Or a plug-in's. Prompt tokens keep their proportion to the engine's completion
    tokens.
    """

    policy: Label
    cost: Money
    every: Duration = Duration(30_000_000)
    margin: Annotated[float, Meta(ge=0.0, le=100.0)] = 0.2
    step: Annotated[float, Meta(ge=0.0, le=100.0)] = 0.05


class Population(Table, frozen=True, kw_only=True):
    """Nodes that are alike. starts, join_over: the first comes then, the others within that time.

    finds: whom they dial to have at least `neighbours` connections: the bootstrap peers alone, as
    net/libp2p does, or any at random, as a node would that asked a DHT. hidden: the share behind a
    NAT that cannot be dialled. session, downtime: mean lengths of being there and away
    (exponential); always there if it has none. goodbye: how long a node whose session ends goes on
    with what it has, after saying that it goes; if it has none, it is killed. behaviour: `honest`,
    or one of behaviours.py. purse: money of each at the start. also: what it sells beside `engine`,
    on the same machine; resident: how many of these models are loaded at once, all if it is None.
    farm: the one that all are members of, by weights as their slots; populations may share it.
    routing: the policy they buy by: one of the scenario's own, of core/routing's profiles, or a
    plug-in's.
    rates: whether they put ratings of providers on chain: what they saw themselves, or all for
    liars and nothing for the honest. believes: whose ratings they read, populations by name.

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
    routing: Label = "default"
    starts: Duration = Duration(0)
    join_over: Duration = Duration(10_000_000)
    neighbours: Annotated[int, Meta(ge=0, le=128)] = NEIGHBOURS_MIN
    finds: Literal["bootstrap", "random"] = "bootstrap"
    hidden: Share = 0.0
    session: Duration | None = None
    downtime: Duration = Duration(60_000_000)
    goodbye: Duration | None = None
    up: ByteRate = ByteRate(12_500_000)
    down: ByteRate = ByteRate(12_500_000)
    engine: Engine | None = None
    pricing: Pricing | None = None
    also: Annotated[tuple[Engine, ...], Meta(max_length=16)] = ()
    resident: Annotated[int, Meta(ge=1, le=16)] | None = None
    purse: Money = Money(100 * 10**18)
    deposit: Money = Money(10**18)
    dials: Annotated[tuple[Label, ...], Meta(max_length=TABLES_MAX)] = ()
    addresses: Annotated[int, Meta(ge=0, le=NODES_MAX)] = 0
    turns: Duration = Duration(0)
    victims: Label | None = None
    farm: FarmName | None = None
    rates: Literal["never", "honestly", "colluding"] = "never"
    believes: Annotated[tuple[Label, ...], Meta(max_length=8)] = ()

    @property
    def engines(self) -> tuple[Engine, ...]:
        """All that each sells."""
        return () if self.engine is None else (self.engine, *self.also)


class Workload(Table, frozen=True, kw_only=True):
    """Requests of each node of a population, `every` apart on average.

    arrivals: `poisson`; `bursty`, with `cv` as the coefficient of variation of the pauses, which
    are Gamma (BurstGPT, arXiv 2401.17644: 1.4); `diurnal`, a rate that swings by a share within
    `day`, from the middle of its rise on. trace: a recorded workload instead (recorded.py), whose
    requests its nodes share out; `every` and lengths are the record's then.
    prompt_tokens, completion_tokens: medians of log-normal lengths; spread: their sigma. lengths:
    those of a published trace instead (models/lengths.toml). hourly: what a node may spend in an
    hour of the run; it asks for nothing once that is gone. reserve: the most it gives for 1,000
    completion tokens, as a median; reserve_spread: its sigma from request to request.
    cancelled: the share whose caller goes away in the middle. window: the most to be ahead. farm:
    whose members alone are asked. turns: of a conversation, in the mean: whoever has an answer goes
    on after `think`, also in the mean, with all before in the prompt, while that is within
    `context` tokens. system_tokens: of a system prompt, the same for all. deadline: how soon an
    answer must begin, or nobody wants it. continues: whether another provider may go on from the
    text of one that failed.
    """

    population: Label
    model: Label = "tiny"
    every: Duration
    arrivals: Literal["poisson", "bursty", "diurnal"] = "poisson"
    cv: Annotated[float, Meta(gt=0.0, le=20.0)] = 1.4
    day: Duration = Duration(86_400_000_000)
    swing: Share = 0.8
    trace: Annotated[str, Meta(min_length=1, max_length=4096)] | None = None
    lengths: Label | None = None
    hourly: Money | None = None
    reserve: Money | None = None
    reserve_spread: Annotated[float, Meta(ge=0.0, le=3.0)] = 0.0
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
    turns: Annotated[float, Meta(ge=1.0, le=1000.0)] = 1.0
    think: Duration = Duration(10_000_000)
    context: Annotated[int, Meta(ge=64, le=10**6)] = 4096
    system_tokens: Annotated[int, Meta(ge=0, le=20_000)] = 0
    deadline: Duration | None = None
    continues: bool = False


class Fault(Table, frozen=True, kw_only=True):
    """Something that happens to some nodes, `share` of them all or of a population, or the chain.

    partition: what crosses the border of the share waits until it is over; longer than a
    keepalive, connections die. `symmetric = false` cuts only what leaves the share. clog: their
    links deliver nothing meanwhile. crash: their processes are killed and start again when it is
    over. outage: the chain is out of reach. congestion: others' traffic on it is `factor` times the
    usual. censorship: that share of the blocks' builders leave out the transactions of a
    population, or of everybody. closing: operators begin to close all channels that their nodes
    opened, and take the rest as soon as they may. antagonist: another process `takes` so
    much of their machines, and their engines have the rest.
    """

    kind: FaultKind
    at: Duration
    lasts: Duration
    share: Share = 0.5
    population: Label | None = None
    symmetric: bool = True
    factor: Annotated[float, Meta(gt=0.0, le=1000.0)] = 10.0
    takes: Annotated[float, Meta(gt=0.0, le=0.99)] = 0.5


class Policy(Table, frozen=True, kw_only=True):
    """A routing policy of the scenario's own: a picker and scorers of core/routing.

    weights: by the names of scorers. choices: how many are drawn, where the picker draws.
    late_binding, hedge: as in a profile of a node's configuration.
    """

    name: Label
    picker: Label
    weights: Annotated[dict[str, Annotated[int, Meta(ge=0, le=1000)]], Meta(min_length=1)]
    choices: Annotated[int, Meta(ge=1, le=64)] = CHOICES
    late_binding: bool = True
    hedge: bool = False

    def build(self) -> Profile:
        """Return it as a node has it."""
        return build_profile(
            self.name,
            self.picker,
            self.weights,
            choices=self.choices,
            binds_late=self.late_binding,
            hedges=self.hedge,
        )


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
    messages, shards: where there are routers alone.
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
    messages: Messages | None = None
    shards: Shards = Shards()
    chain: Chain | None = None
    cpu: Cpu = Cpu()
    plugin: Plugins = Plugins()
    population: Annotated[tuple[Population, ...], Meta(min_length=1, max_length=TABLES_MAX)]
    workload: Annotated[tuple[Workload, ...], Meta(max_length=TABLES_MAX)] = ()
    fault: Annotated[tuple[Fault, ...], Meta(max_length=TABLES_MAX)] = ()
    policy: Annotated[tuple[Policy, ...], Meta(max_length=TABLES_MAX)] = ()
    hold: Annotated[tuple[Expectation, ...], Meta(max_length=TABLES_MAX)] = ()

    @property
    def has_cores(self) -> bool:
        """Whether its nodes are more than gossip routers."""
        return any(population.role != "router" for population in self.population)

    @property
    def nodes(self) -> int:
        """How many nodes there are in all."""
        return sum(population.count for population in self.population)
