"""How deep a block lies: what a reorg may undo has not happened yet."""

from p2p_modelex.chain.evm.rpc import Rpc
from p2p_modelex.chain.evm.wire import read_quantity


async def fetch_deep_block(rpc: Rpc, confirmations: int) -> int:
    """Return the newest block that has so many upon it; the first one where there are fewer."""
    return max(0, read_quantity(await rpc.call("eth_blockNumber")) - confirmations)


async def name_deep_block(rpc: Rpc, confirmations: int) -> str:
    """Return that block as endpoints take it, without asking where it is the head."""
    return hex(await fetch_deep_block(rpc, confirmations)) if confirmations else "latest"
