"""What a transaction offers for its gas."""

from typing import Any

from p2p_modelex.chain.evm.wire import read_quantity
from p2p_modelex.errors import ChainUnreachable

FEE_BLOCKS = 5
TIP_MIN = 10**6  # native wei a gas: 0.001 gwei, the least that layer-2 sequencers take
# The tip is paid as offered, and a lying endpoint could have us offer all we hold. Polygon wants 25
# gwei at least; of the base fee no more is paid than the block's.
TIP_MAX = 500 * 10**9


def compute_fees(history: Any) -> tuple[int, int]:
    """Return (tip, fee cap) from an `eth_feeHistory` answer: cap = 2 x next base fee + tip.

    Twice the base fee stays enough for five full blocks in a row (each raises it by an eighth).
    """
    try:
        base = read_quantity(history["baseFeePerGas"][-1])
        rewards = sorted(read_quantity(row[0]) for row in history.get("reward") or () if row)
    except (TypeError, LookupError, AttributeError) as error:
        raise ChainUnreachable("the endpoint sent a malformed fee history") from error
    tip = min(TIP_MAX, max(TIP_MIN, rewards[len(rewards) // 2] if rewards else 0))
    return tip, 2 * base + tip
