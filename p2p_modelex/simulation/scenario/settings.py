"""What a scenario says of the models around its nodes: links, gossip, chain, CPUs, engines."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from p2p_modelex.simulation.models.cryptography import Costs
from p2p_modelex.simulation.scenario.quantities import Duration, Money

Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Label = Annotated[str, Meta(min_length=1, max_length=64)]
Answer = Literal["embedding", "schema", "tools", "logprobs"]
Decay = Annotated[float, Meta(gt=0.0, lt=1.0)]
Penalty = Annotated[float, Meta(le=0.0)]
Weight = Annotated[float, Meta(ge=0.0)]


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of a scenario."""


class Links(Table, frozen=True, kw_only=True):
    """The network between the nodes. Latencies: regions.toml, or one for all.

    jitter: the mean of what is added to each message, as a share of its latency (exponential).
    loss: the share of packets lost; streams are reliable, so a loss is a delay. latency: one way,
    instead of the regions' matrix; 1 min at most. regions: how many nodes live where, as weights,
    such as `{ frankfurt = 2, dallas = 1 }`; all regions alike if empty.
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

    A decay is what a counter is multiplied by at each `decay_interval`; a cap is the most that it
    counts to; a weight is what it, or its square, counts in the score.

    topic_weight: of P1 to P4 together. topic_score_cap: the most that they give; no cap if 0.
    time_in_mesh_weight: of P1, time in the mesh. time_in_mesh_quantum: what counts as one of it.
    time_in_mesh_cap: the most of P1. first_message_deliveries_weight: of P2, messages that a
    neighbour was first to bring. first_message_deliveries_decay: of P2.
    first_message_deliveries_cap: of P2. mesh_message_deliveries_weight: of P3, messages that a
    member of the mesh brought too few of, squared. mesh_message_deliveries_decay: of P3.
    mesh_message_deliveries_cap: of P3. mesh_message_deliveries_threshold: how many are enough.
    mesh_message_deliveries_window: how long after the first copy another one still counts.
    mesh_message_deliveries_activation: how long in the mesh before P3 counts.
    mesh_failure_penalty_weight: of P3b, what was missing under P3 when a neighbour was pruned.
    mesh_failure_penalty_decay: of P3b. invalid_message_deliveries_weight: of P4, messages that are
    not valid, squared. invalid_message_deliveries_decay: of P4. app_specific_weight: of P5, what
    the application thinks of a peer. ip_colocation_factor_weight: of P6, peers of one IP address
    over the threshold, squared. ip_colocation_factor_threshold: how many may share one.
    behaviour_penalty_weight: of P7, GRAFTs in a backoff and broken promises, squared.
    behaviour_penalty_threshold: how many of them are forgiven. behaviour_penalty_decay: of P7.
    gossip_threshold: below this score there is no IHAVE or IWANT with a peer. publish_threshold:
    below it no flood publishing to it. graylist_threshold: below it all that it sends is dropped.
    opportunistic_graft_threshold: under this median of a mesh's scores better peers are taken in.
    opportunistic_graft_ticks: heartbeats between two such looks. opportunistic_graft_peers: how
    many are taken in. decay_interval: time between two decays. decay_to_zero: what a counter below
    it becomes 0 at. retain_score: how long the score of who disconnected is kept.
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

    d: neighbours that a mesh is to have. d_lo: it is filled up under so many. d_hi: it is cut down
    over so many. d_score: how many of the best stay when it is cut down. d_out: how many outbound
    ones stay; py-libp2p keeps none. d_lazy: how many are told of messages in IHAVE, at least.
    gossip_factor: the share of all others that are told, if more. heartbeat: time between two
    upkeeps of the mesh, 10 ms at least. history: heartbeats that messages are kept for IWANT.
    history_gossip: of these, those that IHAVE tells of. prune_backoff: how long who was pruned does
    not come back. seen: how long a message is known again. flood_publish: whether what a node
    publishes itself goes to all that take it, not to the mesh alone. fills_at_once: whether a mesh
    of less than d_lo takes whoever comes. replays_recent: whether a new neighbour is sent every
    message that IHAVE would tell of. shuns_pruned: whether who pruned backs off too.
    gossips_to_pruned: whether those in a backoff are told of messages. refuses_when_full: whether a
    GRAFT over d_hi is refused; py-libp2p takes it and mends that at its heartbeat. scores: whether
    peers are scored. score: how.

    For flood_publish, scores, d_score, gossips_to_pruned and seen, see gossip_frames.py,
    gossip_mesh.py and gossip.py in net/libp2p.
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
    are near it. starts: when the first may come. lasts: for how long; to the time the run settles
    if it has no end.
    """

    every: Duration = Duration(500_000)
    size: Annotated[int, Meta(ge=8, le=16_384)] = 100
    starts: Duration = Duration(30_000_000)
    lasts: Duration | None = None


class Shards(Table, frozen=True, kw_only=True):
    """Into how many topics gossip is split, where there are routers alone.

    count: topics. each: how many of them a node is in: that of its own key, where it publishes, and
    others.
    """

    count: Annotated[int, Meta(ge=1, le=4096)] = 1
    each: Annotated[int, Meta(ge=1, le=4096)] = 1


class Fees(Table, frozen=True, kw_only=True):
    """What gas costs, by EIP-1559.

    limit: gas that a block takes; half of that is the target. base_fee: gwei a gas at the start.
    background: what others ask for at that fee, as a share of the target, less in proportion as it
    gets dearer, so that a multiple of it brings the fee to that multiple; none lets the fee fall to
    almost nothing. spread: the sigma of its log-normal noise from block to block. raises: whether a
    node raises its offer for what waits too long.
    """

    limit: Annotated[int, Meta(ge=1_000_000, le=10**10)] = 30_000_000
    base_fee: Annotated[float, Meta(gt=0.0, le=1e6)] = 1.0
    background: Annotated[float, Meta(ge=0.0, le=1000.0)] = 0.0
    spread: Annotated[float, Meta(ge=0.0, le=2.0)] = 0.3
    raises: bool = True


class Chain(Table, frozen=True, kw_only=True):
    """The chain. Whoever pays or registers needs one.

    block: time between two blocks, 1 ms at least. read: how long a read takes. fails: the share of
    transactions that come to nothing, and as many more that are mined although the answer is lost.
    fees: what gas costs. confirmations: blocks upon one before a node believes what it reads of a
    channel. reorgs: the share of blocks that replace up to `reorg_depth` before them. reorg_depth:
    the most that one replaces. dropped: the share of what such a reorg undoes that is forgotten
    until its sender sends it again. challenge: how long a payer that closes waits. redeem_every:
    how long a provider lets vouchers wait. threshold: how much on one channel is redeemed sooner.
    minimum: under how much it is never worth it.
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
    a write takes. signatures: what they cost.
    """

    step: Duration = Duration(100)
    frame: Duration = Duration(50)
    gossip: Duration = Duration(1_000)
    disk: Duration = Duration(2_000)
    signatures: Costs = Costs()


class Engine(Table, frozen=True, kw_only=True):
    """What a provider sells, and the machine it runs on.

    model: what it is called, and what workloads ask for. slots: requests that it works on at once.
    waiting: requests that may queue. prefill: tokens a second of prompts. decode: tokens a second
    of one completion alone. batching: how much slower a step is for each further request in it, as
    a share (continuous batching). device: of models/devices.toml, with a `size`, instead of these
    three. size: of a model, of the same file. chunk: tokens of prompts in a step at most, all that
    wait if there is none. kv: tokens that the engine's memory holds; what the device has room for,
    or each slot's context. cache: whether what prompts have in common is read once. continues:
    whether it goes on with an answer that another began. cold_start: how long weights take to load;
    what the device takes for them, or no time. crash: the share of answers at whose end the
    engine's process dies, with all that it has. prompt_price: of 1,000 prompt tokens.
    completion_price: of 1,000 completion tokens. credit_tokens: completion tokens that it works
    ahead of vouchers. context: tokens of a prompt and its completion together at most. answers:
    what it gives beside chats: embeddings, JSON by a schema, calls of tools, log probabilities.
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
    answers: Annotated[tuple[Answer, ...], Meta(max_length=4)] = ()
