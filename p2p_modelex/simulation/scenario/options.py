"""What a field of a scenario may be where worlds are drawn by chance (chance.py): far from the
default, and at the edges. An option more is a line more here.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from p2p_modelex.core.routing.profile import PICKERS
from p2p_modelex.simulation.models.cryptography import Costs
from p2p_modelex.simulation.models.lengths import PUBLISHED
from p2p_modelex.simulation.scenario.quantities import ByteRate, Duration, Money
from p2p_modelex.simulation.scenario.settings import (
    Chain,
    Cpu,
    Engine,
    Fees,
    Gossip,
    Links,
    Messages,
    Score,
    Shards,
)
from p2p_modelex.simulation.scenario.tables import (
    Fault,
    Policy,
    Population,
    Pricing,
    Scenario,
    Workload,
)

_S = 1_000_000
_AI = 10**18


def _times(*seconds: float) -> tuple[Duration, ...]:
    return tuple(Duration(round(one * _S)) for one in seconds)


def _money(*amounts: float) -> tuple[Money, ...]:
    return tuple(Money(round(one * _AI)) for one in amounts)


TIGHT: Mapping[type[msgspec.Struct], tuple[str, ...]] = {
    Engine: ("completion_price", "context", "credit_tokens", "prompt_price"),
    Population: ("deposit", "purse"),
    Workload: (
        *("deadline", "hourly", "lengths", "max_cost", "max_tokens", "prompt_tokens"),
        *("reserve", "spread", "system_tokens", "window"),
    ),
}
"""Each of these may keep buyers from buying, and with a few of them nobody buys: drawn in few
worlds.
"""

Options = Mapping[str, tuple[Any, ...]]
"""What a field may be, where it is drawn."""

OPTIONS: dict[type[msgspec.Struct], Options] = {
    Scenario: {
        "crypto": (*("stub",) * 5, "real"),
        "codec": ("bytes",),
        "registers": (True,),
    },
    Links: {
        "jitter": (0.0, 1.0, 5.0),
        "loss": (0.001, 0.02, 0.2),
        "latency": _times(0, 0.001, 0.4),
        "regions": ({"tokyo": 1.0}, {"dallas": 1.0, "sydney": 3.0}),
    },
    Gossip: {
        "d": (4, 8, 12),
        "d_lo": (1, 2, 3),
        "d_hi": (12, 16),
        "d_score": (0, 1),
        "d_out": (1, 2),
        "d_lazy": (0, 12),
        "heartbeat": _times(0.2, 5),
        "history": (3, 10),
        "history_gossip": (1,),
        "prune_backoff": _times(1, 300),
        "seen": _times(30, 600),
        "flood_publish": (False,),
        "fills_at_once": (False,),
        "refuses_when_full": (True,),
        "replays_recent": (False,),
        "shuns_pruned": (True,),
        "gossips_to_pruned": (False,),
        "gossip_factor": (0.0, 1.0),
        "scores": (False,),
    },
    Score: {
        "topic_weight": (0.0, 5.0),
        "mesh_message_deliveries_weight": (-1.0,),
        "invalid_message_deliveries_weight": (-99.0,),
        "behaviour_penalty_weight": (-100.0,),
        "gossip_threshold": (-1.0,),
        "publish_threshold": (-5.0,),
        "graylist_threshold": (-10.0,),
        "opportunistic_graft_ticks": (1,),
        "retain_score": _times(1),
    },
    Messages: {
        "every": _times(0.1, 2),
        "size": (8, 16_384),
        "starts": _times(0),
        "lasts": _times(20),
    },
    Shards: {"count": (4, 64), "each": (2, 3)},
    Chain: {
        "block": _times(0.1, 15),
        "read": _times(0, 1),
        "fails": (0.05, 0.2),
        "challenge": _times(60, 3600),
        "redeem_every": _times(10, 300),
        "confirmations": (1, 3),
        "reorgs": (0.02, 0.2),
        "reorg_depth": (2, 5),
        "dropped": (0.1, 0.5, 1.0),
        "threshold": _money(0.01),
        "minimum": _money(0.001, 0.1),
    },
    Fees: {
        "limit": (1_000_000,),
        "base_fee": (1000.0,),
        "background": (1.0, 10.0),
        "spread": (0.0, 2.0),
        "raises": (False,),
    },
    Cpu: {
        "step": _times(0, 0.001),
        "frame": _times(0, 0.001),
        "gossip": _times(0, 0.05),
        "disk": _times(0, 0.05, 0.5),
        "signatures": (Costs(peer_verify_us=5000, account_recover_us=20_000),),
    },
    Engine: {
        "slots": (1, 2, 16),
        "waiting": (0, 2, 64),
        "prefill": (50.0, 1e5),
        "decode": (2.0, 500.0),
        "batching": (0.0, 1.0),
        "cold_start": _times(1, 20),
        "crash": (0.05, 0.3),
        "prompt_price": _money(0, 0.1),
        "completion_price": _money(0, 0.001, 0.2),
        "credit_tokens": (2, 16, 1000),
        "context": (600, 2000),
        "chunk": (16, 512),
        "kv": (4096, 20_000),
        "cache": (False,),
        "continues": (True,),
        "answers": (
            ("embedding", "logprobs", "schema", "tools"),
            ("embedding",),
            ("logprobs", "tools"),
            ("schema",),
        ),
    },
    Population: {
        "starts": _times(1, 30),
        "join_over": _times(0, 30),
        "neighbours": (1, 2, 16),
        "finds": ("random",),
        "hidden": (0.3,),
        "session": _times(5, 60, 300),
        "session_shape": (0.38, 3.0),
        "downtime": _times(1, 10),
        "goodbye": _times(0, 1, 15),
        "up": (ByteRate(20_000), ByteRate(1_000_000)),
        "down": (ByteRate(20_000), ByteRate(1_000_000)),
        "purse": _money(1.2, 5),
        "deposit": _money(0.01, 0.2, 10),
        "resident": (1,),
        "changes": (0.5, 1.0),
    },
    Pricing: {
        "policy": ("cost-plus", "undercut", "surge"),
        "cost": _money(0, 0.01, 0.1),
        "every": _times(1, 300),
        "margin": (0.0, 2.0),
        "step": (0.0, 1.0),
    },
    Workload: {
        "arrivals": ("bursty", "diurnal"),
        "cv": (0.5, 5.0),
        "day": _times(60),
        "swing": (0.0, 1.0),
        "lengths": tuple(PUBLISHED),
        "hourly": _money(0.01, 1),
        "reserve": _money(0.01, 0.1),
        "reserve_spread": (1.0,),
        "starts": _times(1, 30),
        "lasts": _times(20, 60),
        "prompt_tokens": (1, 5, 1500),
        "completion_tokens": (1, 10, 400),
        "spread": (0.0, 2.0),
        "max_tokens": (1, 64, 1000),
        "attempts": (1, 2, 8),
        "cancelled": (0.1, 0.5),
        "quoted": (0.5, 1.0),
        "window": _money(0.005, 0.1),
        "max_cost": _money(0.05, 0.3),
        "turns": (2.0, 10.0),
        "think": _times(0, 1, 60),
        "context": (1000,),
        "system_tokens": (1, 300),
        "deadline": _times(0.1, 3, 30),
        "continues": (True,),
    },
    Policy: {
        "picker": PICKERS,
        "choices": (1, 8),
        "late_binding": (False,),
        "hedge": (True,),
    },
    Fault: {
        "share": (0.1, 0.9, 1.0),
        "regions": (("sydney",), ("dallas", "toronto", "washington")),
        "symmetric": (False,),
        "factor": (2.0, 1000.0),
        "takes": (0.1, 0.99),
    },
}
"""Every field that may be drawn by itself; `tests/simulation/test_chance.py` knows the others."""
