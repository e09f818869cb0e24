"""What a scenario says of the models around its nodes: links, gossip, chain, CPUs, engines."""

from typing import Annotated

import msgspec
from msgspec import Meta

from p2p_modelex.simulation.models.cryptography import Costs
from p2p_modelex.simulation.scenario.quantities import Duration, Money

Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Label = Annotated[str, Meta(min_length=1, max_length=64)]


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


class Gossip(Table, frozen=True, kw_only=True):
    """GossipSub v1.1, named as its specification names them; the defaults are what nodes ship with.

    py-libp2p keeps no outbound (d_out) and, without its scorer, no best (d_score) neighbours, takes
    a GRAFT over d_hi and mends that at its heartbeat (refuses_when_full), fills a mesh of less
    than d_lo with whoever comes (fills_at_once), and sends a new neighbour every message that it
    would tell of in IHAVE (replays_recent). Only who was pruned backs off, not who pruned it
    (shuns_pruned), and tells the other nothing of what it has meanwhile (gossips_to_pruned). For
    what a node publishes itself see net/libp2p/gossip_frames.py (flood_publish), and for `seen`
    net/libp2p/gossip.py.
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
    seen: Duration = Duration(600_000_000)
    flood_publish: bool = True
    fills_at_once: bool = True
    replays_recent: bool = True
    shuns_pruned: bool = False
    gossips_to_pruned: bool = False
    refuses_when_full: bool = False


class Chain(Table, frozen=True, kw_only=True):
    """The chain: blocks, and how long a read takes. fails: the share of transactions that come to
    nothing, and as many more that are mined although the answer is lost. redeem_every: how long a
    provider lets vouchers wait.
    """

    block: Duration = Duration(2_000_000)
    read: Duration = Duration(50_000)
    fails: Share = 0.0
    challenge: Duration = Duration(86_400_000_000)
    redeem_every: Duration = Duration(60_000_000)


class Cpu(Table, frozen=True, kw_only=True):
    """What a step costs on the virtual CPU of its node, beside its signatures; what a gossip
    message costs in py-libp2p (measured: 3 to 6 ms); and how long a disk write takes.
    """

    step: Duration = Duration(20)
    gossip: Duration = Duration(4_000)
    disk: Duration = Duration(2_000)
    signatures: Costs = Costs()


class Engine(Table, frozen=True, kw_only=True):
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
