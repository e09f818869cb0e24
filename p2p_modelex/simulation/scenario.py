"""What a scenario says: who is there, over which links, what they do, what fails, what must hold.

Every field has a bound and every quantity a unit (quantities.py). `scenario_file.py` reads TOML.
"""

from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

from p2p_modelex.limits import NEIGHBOURS_MIN
from p2p_modelex.simulation.cryptography import Costs
from p2p_modelex.simulation.quantities import ByteRate, Duration, Money

NODES_MAX = 100_000
"""A directory entry takes some hundred bytes in each node that holds it: memory ends sooner."""
TABLES_MAX = 64
"""Populations, workloads and faults, each."""

Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Label = Annotated[str, Meta(min_length=1, max_length=64)]
Count = Annotated[int, Meta(ge=1, le=NODES_MAX)]


FaultKind = Literal["partition", "clog", "crash", "outage"]
FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Links(_Table, frozen=True, kw_only=True):
    """The network between the nodes. Latencies: regions.toml, or one for all.

    jitter: the mean of what is added to each message, as a share of its latency (exponential).
    loss: the share of packets lost; streams are reliable, so a loss is a delay. latency: one way,
    instead of the regions' matrix. regions: how many nodes live where, as weights; all regions
    alike if empty.
    """

    jitter: Annotated[float, Meta(ge=0.0, le=10.0)] = 0.1
    loss: Annotated[float, Meta(ge=0.0, le=0.5)] = 0.0
    latency: Duration | None = None
    regions: dict[str, Annotated[float, Meta(ge=0.0, le=1000.0)]] = {}


class Gossip(_Table, frozen=True, kw_only=True):
    """GossipSub v1.1, named as its specification names them; the defaults are what nodes ship with.

    py-libp2p keeps no outbound (d_out) and, without its scorer, no best (d_score) neighbours, takes
    a GRAFT over d_hi and mends that at its heartbeat (refuses_when_full), and fills a mesh of less
    than d_lo with whoever comes (fills_at_once); for what a node publishes itself see
    net/libp2p/gossip_frames.py (flood_publish).
    """

    d: Annotated[int, Meta(ge=1, le=64)] = 6
    d_lo: Annotated[int, Meta(ge=1, le=64)] = 4
    d_hi: Annotated[int, Meta(ge=1, le=128)] = 12
    d_score: Annotated[int, Meta(ge=0, le=64)] = 0
    d_out: Annotated[int, Meta(ge=0, le=64)] = 0
    d_lazy: Annotated[int, Meta(ge=0, le=64)] = 6
    heartbeat: Duration = Duration(1_000_000)
    history: Annotated[int, Meta(ge=1, le=60)] = 5
    history_gossip: Annotated[int, Meta(ge=1, le=60)] = 3
    prune_backoff: Duration = Duration(60_000_000)
    seen: Duration = Duration(120_000_000)
    flood_publish: bool = True
    fills_at_once: bool = True
    refuses_when_full: bool = False


class Chain(_Table, frozen=True, kw_only=True):
    """The chain: blocks, and how long a read takes. fails: the share of transactions that come to
    nothing, and as many more that are mined although the answer is lost. redeem_every: how long a
    provider lets vouchers wait.
    """

    block: Duration = Duration(2_000_000)
    read: Duration = Duration(50_000)
    fails: Share = 0.0
    challenge: Duration = Duration(86_400_000_000)
    redeem_every: Duration = Duration(60_000_000)


class Cpu(_Table, frozen=True, kw_only=True):
    """What a step costs on the virtual CPU of its node, beside its signatures; what a gossip
    message costs in py-libp2p (measured: 3 to 6 ms); and how long a disk write takes.
    """

    step: Duration = Duration(20)
    gossip: Duration = Duration(4_000)
    disk: Duration = Duration(2_000)
    signatures: Costs = Costs()


class Engine(_Table, frozen=True, kw_only=True):
    """What a provider sells, and the machine it runs on.

    prefill, decode: tokens a second of prompts, and of one completion alone. batching: how much
    slower a step is for each further request in it, as a share (continuous batching). cold_start:
    how long the first request waits for the weights. waiting: requests that may queue. prices: for
    1,000 tokens.
    """

    model: Label = "tiny"
    slots: Annotated[int, Meta(ge=1, le=1024)] = 4
    waiting: Annotated[int, Meta(ge=0, le=4096)] = 16
    prefill: Annotated[float, Meta(gt=0.0, le=1e7)] = 2000.0
    decode: Annotated[float, Meta(gt=0.0, le=1e6)] = 40.0
    batching: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.1
    cold_start: Duration = Duration(0)
    crash: Share = 0.0
    prompt_price: Money = Money(2 * 10**16)
    completion_price: Money = Money(6 * 10**16)
    credit_tokens: Annotated[int, Meta(ge=2, le=65_536)] = 64
    context: Annotated[int, Meta(ge=64, le=10**6)] = 4096


class Population(_Table, frozen=True, kw_only=True):
    """Nodes that are alike. starts, join_over: the first comes then, the others within that time.

    finds: whom they dial to have at least `neighbours` connections: the bootstrap peers alone, as
    net/libp2p does, or any at random, as a node would that asked a DHT. hidden: the share behind a
    NAT that cannot be dialled. session, downtime: mean lengths of being there and away
    (exponential); always there if it has none. behaviour: `honest`, or one of behaviours.py.
    purse: money of each at the start.
    """

    name: Label
    count: Count
    role: Literal["provider", "requester", "bootstrap"] = "provider"
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


class Workload(_Table, frozen=True, kw_only=True):
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


class Fault(_Table, frozen=True, kw_only=True):
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


class Expectation(_Table, frozen=True, kw_only=True):
    """A measure of the summary that must not be over, or under, a number."""

    measure: Label
    at_most: float | None = None
    at_least: float | None = None


class Scenario(_Table, frozen=True, kw_only=True):
    """One experiment. duration: virtual time. settle: the last part of it, without new requests,
    sessions ending or faults, after which everything must have come to rest.

    crypto: `real`, or `stub` (cryptography.py). codec: `bytes` decodes each message as a node
    does; `objects` decodes equal bytes once for all nodes. registers: providers put an anchor of
    themselves into the registry.
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
    chain: Chain | None = None
    cpu: Cpu = Cpu()
    population: Annotated[tuple[Population, ...], Meta(min_length=1, max_length=TABLES_MAX)]
    workload: Annotated[tuple[Workload, ...], Meta(max_length=TABLES_MAX)] = ()
    fault: Annotated[tuple[Fault, ...], Meta(max_length=TABLES_MAX)] = ()
    hold: Annotated[tuple[Expectation, ...], Meta(max_length=TABLES_MAX)] = ()

    @property
    def nodes(self) -> int:
        """How many nodes there are in all."""
        return sum(population.count for population in self.population)
