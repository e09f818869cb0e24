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
"""Of routers alone; whole nodes end sooner, by what memory they take (amounts.py)."""
TABLES_MAX = 64
"""Populations, workloads and faults, each."""

PLUGINS_MAX = 16

Count = Annotated[int, Meta(ge=1, le=NODES_MAX)]


FaultKind = Literal[
    "partition",
    "clog",
    "crash",
    "outage",
    "congestion",
    "censorship",
    "closing",
    "antagonist",
    "split",
]
FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)
ON_CHAIN: tuple[FaultKind, ...] = ("outage", "congestion", "censorship", "closing", "split")
"""Those that need a chain."""


PRICING_POLICIES = ("cost-plus", "undercut", "surge")


class Pricing(Table, frozen=True, kw_only=True):
    """How a provider sets its prices, every so often; what changes is advertised anew.

    policy: `cost-plus` asks the cost and `margin` of it. `undercut` goes `step` under the cheapest
    other that its own directory has, and no higher than its engine's price. `surge` asks its
    engine's price, and `step` of it more for each share of its slots that is taken. Or a plug-in's.
    Prompt tokens keep their proportion to the engine's completion tokens. cost: of 1,000 completion
    tokens; nobody sells under it. every: time between two looks. margin: for cost-plus, as a share.
    step: for undercut and surge, as a share.
    """

    policy: Label
    cost: Money
    every: Duration = Duration(30_000_000)
    margin: Annotated[float, Meta(ge=0.0, le=100.0)] = 0.2
    step: Annotated[float, Meta(ge=0.0, le=100.0)] = 0.05


class Population(Table, frozen=True, kw_only=True):
    """Nodes that are alike.

    name: other tables call it so. count: how many nodes. role: what its nodes do; a router is a
    node without a core, and then all populations are routers. behaviour: `honest` or how they lie.
    routing: the policy they buy by: one of the scenario's own, a profile, or a plug-in's. starts:
    when the first comes. join_over: the others come within that time after it. neighbours:
    connections that each wants to have at least. finds: whom they dial for that: the bootstrap
    peers alone, as net/libp2p does, or any at random, as a node would that asked a DHT. hidden: the
    share behind a NAT that cannot be dialled. session: mean length of being there, 100 ms at least;
    always there if it has none. session_shape: of Weibull's distribution, which these lengths have:
    1 is exponential; 0.34 to 0.59, as in BitTorrent (Stutzbach and Rejaie, 2006), many short ones
    and a few that stay. downtime: mean length of being away (exponential). goodbye: how long a node
    whose session ends goes on with what it has, after saying that it goes; if it has none, it is
    killed. up: bandwidth of each node's link from it; 1 kbit/s at least. down: and to it. engine:
    what a provider sells, `{}` for the defaults; one without sells nothing. pricing: how its price
    changes; the engine's, always, if it has none. also: what it sells beside `engine`, on the same
    machine. resident: how many of these models are loaded at once, all if it has none. changes: the
    chance that a process that starts again sells otherwise: in turns with twice the credit, and
    with the first and other weights by the old names. purse: money of each at the start. deposit:
    what a payer puts into a channel. farm: the one that all are members of, by weights as their
    slots; populations may share it. rates: whether they put ratings of providers on chain: what
    they saw themselves, or all for liars and nothing for the honest. believes: whose ratings they
    read, populations by name.

    dials: of routers: the populations that one dials, all if empty. addresses: of routers: IP
    addresses that the population shares, one each if 0. turns: of routers: when one that misbehaves
    begins to. victims: of routers: the population whose messages a censor keeps back, and that is
    measured apart.
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
    session_shape: Annotated[float, Meta(ge=0.2, le=5.0)] = 1.0
    downtime: Duration = Duration(60_000_000)
    goodbye: Duration | None = None
    up: ByteRate = ByteRate(12_500_000)
    down: ByteRate = ByteRate(12_500_000)
    engine: Engine | None = None
    pricing: Pricing | None = None
    also: Annotated[tuple[Engine, ...], Meta(max_length=16)] = ()
    resident: Annotated[int, Meta(ge=1, le=16)] | None = None
    changes: Share = 0.0
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
    def advertises(self) -> bool:
        """Whether others are told of each."""
        return self.role != "requester"

    @property
    def engines(self) -> tuple[Engine, ...]:
        """All that each sells."""
        return () if self.engine is None else (self.engine, *self.also)


class Workload(Table, frozen=True, kw_only=True):
    """Requests of each node of a population.

    population: who asks. model: what for; some engine must sell it. asks: what kind of answer;
    some engine of the model must give it; embeddings have no `turns`. every: time between two
    requests of a node, on average; 1 ms at least. arrivals: `poisson`; `bursty`, with pauses that
    are Gamma (BurstGPT, arXiv 2401.17644: a `cv` of 1.4); `diurnal`, a rate that swings within a
    `day`, from the middle of its rise on. cv: the coefficient of variation of bursty pauses. day:
    the period of a diurnal rate. swing: how far it goes from its mean, as a share. trace: a
    recorded workload instead (recorded.py), a path from the scenario's folder, whose requests its
    nodes share out; `every` and lengths are the record's then. lengths: those of a published trace
    (models/lengths.toml), instead of the three of log-normal ones. hourly: what a node may spend in
    an hour of the run; it asks for nothing once that is gone. reserve: the most it gives for 1,000
    completion tokens, as a median. reserve_spread: its sigma from request to request. starts: when
    the first may come. lasts: for how long; to the time the run settles if it has no end.
    prompt_tokens: the median of log-normal lengths. completion_tokens: likewise. spread: the sigma
    of both. max_tokens: the longest completion that is asked for. attempts: providers that a
    request goes to, one after another, before it has failed. cancelled: the share whose caller goes
    away in the middle. quoted: the share that asks for a signed quote first. window: the most that
    a buyer is ahead with its payment. max_cost: the most that a request may cost. farm: whose
    members alone are asked. turns: of a conversation, in the mean: whoever has an answer goes on
    after `think` with all before in the prompt, while that is within `context` tokens. think: in
    the mean. context: of tokens. system_tokens: of a system prompt, the same for all. deadline: how
    soon an answer must begin, or nobody wants it. continues: whether another provider may go on
    from the text of one that failed.
    """

    population: Label
    model: Label = "tiny"
    asks: Literal["chat", "embedding", "schema", "tools", "logprobs"] = "chat"
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

    kind: `partition`: what crosses the border of the share waits until it is over; longer than a
    keepalive, connections die. `clog`: their links deliver nothing meanwhile. `crash`: their
    processes are killed and start again when it is over. `outage`: the chain is out of reach.
    `congestion`: others' traffic on it is `factor` times the usual. `censorship`: that share of the
    blocks' builders leave out the transactions of a population, or of everybody. `closing`:
    operators begin to close all channels that their nodes opened, and take the rest as soon as they
    may. `antagonist`: another process `takes` so much of their machines, and their engines have the
    rest. `split`: of the token, 2:1, announced as it begins; nothing is transferred for the last
    `share` of it, and as it ends every amount is worth twice its number. One that begins while
    another is pending is refused. at: when it begins. lasts: how long it goes on. share: of the
    nodes, of the builders, or of a split's time.
    population: whose nodes; all if it has none. regions: where these are; everywhere if it has
    none, and with a share of 1 a partition is a cable that breaks. symmetric: whether a partition
    cuts both ways; if not, only what leaves the share. factor: of a congestion. takes: of an
    antagonist, as a share.
    """

    kind: FaultKind
    at: Duration
    lasts: Duration
    share: Share = 0.5
    population: Label | None = None
    regions: Annotated[tuple[Label, ...], Meta(max_length=16)] = ()
    symmetric: bool = True
    factor: Annotated[float, Meta(gt=0.0, le=1000.0)] = 10.0
    takes: Annotated[float, Meta(gt=0.0, le=0.99)] = 0.5


class Policy(Table, frozen=True, kw_only=True):
    """A routing policy of the scenario's own: a picker and scorers of core/routing.

    name: what `routing` calls it. picker: who is taken of those that the scorers have scored.
    weights: by the names of scorers, such as `{ price = 2, load = 1 }`. choices: how many are
    drawn, where the picker draws. late_binding: whether a request with no free slot stands in two
    queues, and keeps who starts first. hedge: whether a second one is asked where the first word is
    late; both as in a profile of a node's configuration.
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
    """What must hold when the run ends, or it fails with code 16.

    measure: one of those at the end of docs/scenarios.md, or a plug-in's. at_most: it must not be
    over that. at_least: it must not be under that.
    """

    measure: Label
    at_most: float | None = None
    at_least: float | None = None


class Plugins(Table, frozen=True, kw_only=True):
    """What a researcher's own code adds: behaviours, routing policies, measures and checkers
    (plugin.py).

    files: paths from the scenario's folder.
    """

    files: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=1024)], ...],
        Meta(max_length=PLUGINS_MAX),
    ] = ()


class Scenario(Table, frozen=True, kw_only=True):
    """One experiment: these keys come first in the file, above every table.

    name: of the files that are written; letters, digits, -, _, . and spaces. about: what it asks.
    duration: virtual time, 30 days at most. settle: the last part of it, without new requests,
    sessions ending or faults, after which everything must have come to rest. seed: what all random
    numbers come from. crypto: signatures: `real`, or `stub` (cryptography.py). codec: `bytes`
    decodes each message as a node does; `objects` decodes equal bytes once for all nodes.
    registers: whether providers put an anchor of themselves into the registry on chain.
    entries_max: advertisements that a directory has room for. measure_every: time between two
    samples, 1 ms at least. links: the network. gossip: GossipSub. messages: where there are routers
    alone. shards: likewise. chain: needed where somebody pays. cpu: what things cost. plugin: your
    own code. population: who is there; one at least. workload: who asks for what. fault: what
    fails. policy: routing of the scenario's own. hold: what must hold.
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

    @property
    def advertisers(self) -> int:
        """How many of them others are told of."""
        return sum(one.count for one in self.population if one.advertises)
