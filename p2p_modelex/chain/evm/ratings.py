"""The Ratings contract over JSON-RPC: what some evaluators say of nodes."""

from collections.abc import Sequence

from p2p_modelex.chain.evm.abi import Abi
from p2p_modelex.chain.evm.artifacts import load_contracts
from p2p_modelex.chain.evm.rpc import Call, Rpc
from p2p_modelex.chain.evm.wire import read_bytes, to_hex
from p2p_modelex.errors import ChainUnreachable
from p2p_modelex.ids import Address, PublicKey, format_address

SCORE_MAX = 10_000
_ANSWER_BYTES = 32 * 4


async def fetch_ratings(
    rpc: Rpc,
    contract: Address,
    nodes: Sequence[tuple[PublicKey, Address]],
    evaluators: Sequence[Address],
    block: str,
) -> tuple[int | None, ...]:
    """Return each node's rating (Chain.fetch_ratings), None where it has none.

    Raises ChainUnreachable, RpcError.
    """
    abi = Abi(load_contracts().artifacts["Ratings"].entries)
    to = format_address(contract)
    # The contract wants them ascending, each once.
    counted = [format_address(one) for one in sorted(set(evaluators))]
    payloads = [
        abi.encode_call("summary", peer, format_address(operator), counted, 0)
        for peer, operator in nodes
    ]
    calls = [Call("eth_call", ({"to": to, "data": to_hex(one)}, block)) for one in payloads]
    return tuple(_read(abi, read_bytes(answer)) for answer in await rpc.batch(calls))


def _read(abi: Abi, answer: bytes) -> int | None:
    if len(answer) > _ANSWER_BYTES:
        raise ChainUnreachable("the endpoint's answer is longer than any honest one")
    [(count, medians)] = abi.decode_result("summary", answer)
    if any(score > SCORE_MAX for score in medians):
        raise ChainUnreachable("the endpoint sent a score that cannot be")
    return sum(medians) // len(medians) if count else None
