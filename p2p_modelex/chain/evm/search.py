"""Finds the terms of a channel in the contract's log, for a home that lost its records."""

from p2p_modelex.chain.abc import Deployment
from p2p_modelex.chain.evm.abi import Abi, Event
from p2p_modelex.chain.evm.reader import RANGE_BLOCKS
from p2p_modelex.chain.evm.rpc import Call, Rpc, RpcError
from p2p_modelex.chain.evm.wire import read_logs, read_quantity, to_hex
from p2p_modelex.errors import ChainUnreachable
from p2p_modelex.ids import ChannelId, format_address
from p2p_modelex.records.channel import ChannelTerms

SEARCH_BLOCKS_MAX = 2_000_000  # nine months of 12 s blocks; a channel lives much shorter
BATCH_RANGES = 20  # asked for in one request


async def find_terms(
    rpc: Rpc, deployment: Deployment, abi: Abi, channel: ChannelId
) -> ChannelTerms | None:
    """Return a channel's terms out of its Opened event, the newest blocks first; None if it is not
    in the last SEARCH_BLOCKS_MAX. ChainUnreachable where the endpoint gives no logs, or lies.
    """
    wanted = {
        "address": format_address(deployment.channels),
        "topics": [to_hex(abi.topic("Opened")), to_hex(channel)],
    }
    head = read_quantity(await rpc.call("eth_blockNumber"))
    oldest = max(0, head - SEARCH_BLOCKS_MAX)
    lasts = range(head, oldest - 1, -RANGE_BLOCKS)
    for start in range(0, len(lasts), BATCH_RANGES):
        calls = [
            Call("eth_getLogs", (wanted | _bounds(max(oldest, last - RANGE_BLOCKS + 1), last),))
            for last in lasts[start : start + BATCH_RANGES]
        ]
        try:
            answers = await rpc.batch(calls)
        except RpcError as error:
            raise ChainUnreachable(f"the endpoint does not search its log: {error.text}") from error
        for log in (log for answer in answers for log in read_logs(answer)):
            event = abi.decode_event(log)
            terms = None if event is None or event.name != "Opened" else _read_terms(event)
            if terms is None or deployment.channel_id(terms) != channel:
                raise ChainUnreachable("the endpoint sent another event than was asked for")
            return terms
    return None


def _bounds(first: int, last: int) -> dict[str, str]:
    return {"fromBlock": hex(first), "toBlock": hex(last)}


def _read_terms(event: Event) -> ChannelTerms:
    accounts = (event.arguments[name] for name in ("payer", "payee", "signer"))
    payer, payee, signer = (bytes.fromhex(account[2:]) for account in accounts)
    return ChannelTerms(payer, payee, signer, event.arguments["salt"])
