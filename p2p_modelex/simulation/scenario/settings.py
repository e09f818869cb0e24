"""What a scenario says of the models around its nodes: links, gossip, chain, CPUs, engines."""

from typing import Annotated

import msgspec
from msgspec import Meta

from p2p_modelex.simulation.models.cryptography import Costs
from p2p_modelex.simulation.scenario.quantities import Duration, Money

Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Label = Annotated[str, Meta(min_length=1, max_length=64)]
Decay = Annotated[float, Meta(gt=0.0, lt=1.0)]
Penalty = Annotated[float, Meta(le=0.0)]
Weight = Annotated[float, Meta(ge=0.0)]


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of a scenario."""


class Links(Table, frozen=True, kw_only=True):
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


class Score(Table, frozen=True, kw_only=True):
    """Peer scores, each part named as the specification names it (scores.py computes them).

    The defaults are what nodes ship with, net/libp2p/gossip_mesh.py: first deliveries (P2) alone,
    at weight 1; all other weights are 0. Decays, caps and thresholds are those of the evaluation
    report of GossipSub v1.1 (Vyzovitis and others, 2020) and of Filecoin. With P3, a topic in which
    little is said puts honest neighbours out.
    """

    topic_weight: Weight = 1.0
    topic_score_cap: Weight = 0.0
    time_in_mesh_weight: Weight = 0.0
    time_in_mesh_quantum: Duration = Duration(1_000_000)
    time_in_mesh_cap: Weight = 3600.0
    first_message_deliveries_weight: Weight = 1.0
    first_message_deliveries_decay: Decay = 0.9916
    first_message_deliveries_cap: Weight = 1500.0
    mesh_message_deliveries_weight: Penalty = 0.0
    mesh_message_deliveries_decay: Decay = 0.997
    mesh_message_deliveries_cap: Weight = 400.0
    mesh_message_deliveries_threshold: Weight = 10.0
    mesh_message_deliveries_window: Duration = Duration(5_000)
    mesh_message_deliveries_activation: Duration = Duration(60_000_000)
    mesh_failure_penalty_weight: Penalty = 0.0
    mesh_failure_penalty_decay: Decay = 0.997
    invalid_message_deliveries_weight: Penalty = 0.0
    invalid_message_deliveries_decay: Decay = 0.9994
    app_specific_weight: Weight = 0.0
    ip_colocation_factor_weight: Penalty = 0.0
    ip_colocation_factor_threshold: Annotated[int, Meta(ge=1)] = 5
    behaviour_penalty_weight: Penalty = 0.0
    behaviour_penalty_threshold: Weight = 6.0
    behaviour_penalty_decay: Decay = 0.9987
    gossip_threshold: Penalty = -500.0
    publish_threshold: Penalty = -1000.0
    graylist_threshold: Penalty = -2500.0
    opportunistic_graft_threshold: Weight = 5.0
    opportunistic_graft_ticks: Annotated[int, Meta(ge=1, le=3600)] = 10
    opportunistic_graft_peers: Annotated[int, Meta(ge=1, le=64)] = 2
    decay_interval: Duration = Duration(1_000_000)
    decay_to_zero: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.01
    retain_score: Duration = Duration(600_000_000)


class Gossip(Table, frozen=True, kw_only=True):
    """GossipSub v1.1, named as its specification names them; the defaults are what nodes ship with.

    py-libp2p keeps no outbound neighbours (d_out), takes a GRAFT over d_hi and mends that at its
    heartbeat (refuses_when_full), fills a mesh of less than d_lo with whoever comes
    (fills_at_once), and sends a new neighbour every message that it would tell of in IHAVE
    (replays_recent). Only who was pruned backs off, not who pruned it (shuns_pruned). For what a
    node publishes itself (flood_publish), for whom it keeps (scores, d_score), for whom it tells of
    messages (gossips_to_pruned) and for `seen`, see gossip_frames.py, gossip_mesh.py and gossip.py
    in net/libp2p.
    """

    d: Annotated[int, Meta(ge=1, le=64)] = 6
    d_lo: Annotated[int, Meta(ge=1, le=64)] = 4
    d_hi: Annotated[int, Meta(ge=1, le=128)] = 12
    d_score: Annotated[int, Meta(ge=0, le=64)] = 4
    d_out: Annotated[int, Meta(ge=0, le=64)] = 0
    d_lazy: Annotated[int, Meta(ge=0, le=64)] = 6
    gossip_factor: Share = 0.25
    heartbeat: Duration = Duration(1_000_000)
    history: Annotated[int, Meta(ge=1, le=60)] = 5
    history_gossip: Annotated[int, Meta(ge=1, le=60)] = 3
    prune_backoff: Duration = Duration(60_000_000)
    seen: Duration = Duration(600_000_000)
    flood_publish: bool = True
    fills_at_once: bool = True
    replays_recent: bool = True
    shuns_pruned: bool = False
    gossips_to_pruned: bool = True
    refuses_when_full: bool = False
    scores: bool = True
    score: Score = Score()


class Messages(Table, frozen=True, kw_only=True):
    """What is published where there are routers alone: by honest nodes, Poisson.

    every: the mean time between two, of all nodes together. size: bytes of a payload; announcements
    are near it. starts, lasts: when; to the time the run settles if it has no end.
    """

    every: Duration = Duration(500_000)
    size: Annotated[int, Meta(ge=8, le=16_384)] = 100
    starts: Duration = Duration(30_000_000)
    lasts: Duration | None = None


class Shards(Table, frozen=True, kw_only=True):
    """Into how many topics gossip is split, where there are routers alone, and how many of them a
    node is in: that of its own key, where it publishes, and others.
    """

    count: Annotated[int, Meta(ge=1, le=4096)] = 1
    each: Annotated[int, Meta(ge=1, le=4096)] = 1


class Fees(Table, frozen=True, kw_only=True):
    """What gas costs, by EIP-1559: a block takes `limit` gas, and half of that is the target.

    base_fee: gwei a gas at the start. background: what others ask for at that fee, as a share of
    the target, less in proportion as it gets dearer, so that a multiple of it brings the fee to
    that multiple; none lets the fee fall to almost nothing. spread: the sigma of its log-normal
    noise from block to block. raises: whether a node raises its offer for what waits too long.
    """

    limit: Annotated[int, Meta(ge=1_000_000, le=10**10)] = 30_000_000
    base_fee: Annotated[float, Meta(gt=0.0, le=1e6)] = 1.0
    background: Annotated[float, Meta(ge=0.0, le=1000.0)] = 0.0
    spread: Annotated[float, Meta(ge=0.0, le=2.0)] = 0.3
    raises: bool = True


class Chain(Table, frozen=True, kw_only=True):
    """The chain: blocks, and how long a read takes. fails: the share of transactions that come to
    nothing, and as many more that are mined although the answer is lost.

    confirmations: blocks upon one before a node believes what it reads of a channel. reorgs: the
    share of blocks that replace up to `reorg_depth` before them. dropped: the share of what such a
    reorg undoes that is forgotten until its sender sends it again. challenge: how long a payer that
    closes waits. redeem_every, threshold, minimum: how long a provider lets vouchers wait, how much
    on one channel is redeemed sooner, and under how much it is never worth it.
    """

    block: Duration = Duration(2_000_000)
    read: Duration = Duration(50_000)
    fails: Share = 0.0
    fees: Fees = Fees()
    confirmations: Annotated[int, Meta(ge=0, le=64)] = 0
    reorgs: Share = 0.0
    reorg_depth: Annotated[int, Meta(ge=1, le=64)] = 1
    dropped: Share = 0.0
    challenge: Duration = Duration(86_400_000_000)
    redeem_every: Duration = Duration(60_000_000)
    threshold: Money = Money(10 * 10**18)
    minimum: Money = Money(1)


class Cpu(Table, frozen=True, kw_only=True):
    """What things cost on the virtual CPU of their node, as `python -m benchmarks costs` measures.

    step: an input, its signatures apart. frame: sending one, or receiving it, through cipher and
    muxer. gossip: a message in py-libp2p, its copies from other neighbours included. disk: how long
    a write takes.
    """

    step: Duration = Duration(100)
    frame: Duration = Duration(50)
    gossip: Duration = Duration(1_000)
    disk: Duration = Duration(2_000)
    signatures: Costs = Costs()


class Engine(Table, frozen=True, kw_only=True):
    """What a provider sells, and the machine it runs on.

    prefill, decode: tokens a second of prompts, and of one completion alone. batching: how much
    slower a step is for each further request in it, as a share (continuous batching). device, size:
    of models/devices.toml, instead of these three. chunk: tokens of prompts in a step at most, all
    that wait if there is none. kv: tokens that the engine's memory holds; what the device has room
    for, or each slot's context. cache: whether what prompts have in common is read once. continues:
    whether it goes on with an answer that another began.
    cold_start: how long weights take to load; what the device takes for them, or no time. crash:
    the share of answers at whose end the engine's process dies, with all that it has. waiting:
    requests that may queue. prices: for 1,000 tokens.
    """

    model: Label = "tiny"
    slots: Annotated[int, Meta(ge=1, le=1024)] = 4
    waiting: Annotated[int, Meta(ge=0, le=4096)] = 16
    prefill: Annotated[float, Meta(gt=0.0, le=1e7)] = 2000.0
    decode: Annotated[float, Meta(gt=0.0, le=1e6)] = 40.0
    batching: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.1
    device: Label | None = None
    size: Label | None = None
    chunk: Annotated[int, Meta(ge=16, le=1_000_000)] | None = None
    kv: Annotated[int, Meta(ge=64, le=10**9)] | None = None
    cache: bool = True
    continues: bool = False
    cold_start: Duration | None = None
    crash: Share = 0.0
    prompt_price: Money = Money(2 * 10**16)
    completion_price: Money = Money(6 * 10**16)
    credit_tokens: Annotated[int, Meta(ge=2, le=65_536)] = 64
    context: Annotated[int, Meta(ge=64, le=10**6)] = 4096
