"""An endpoint that says anything: every answer gives a result or an error of ours, nothing else."""

import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p_modelex.chain.abc import Deployment
from p2p_modelex.chain.evm.http import HttpEndpoint
from p2p_modelex.chain.evm.port import EvmChain
from p2p_modelex.errors import ModelexError
from p2p_modelex.ids import Address, ChannelId, Digest, PublicKey
from p2p_modelex.records.channel import ChannelTerms, Claim
from p2p_modelex.records.voucher import SignedVoucher, Voucher
from p2p_modelex.units import Wei
from tests.chain.worlds import new_key

EXAMPLES = 5
_DEPLOYMENT = replace(
    Deployment("x", 31337, *(Address(bytes([i]) * 20) for i in (1, 2, 3))),
    ratings=Address(bytes([4]) * 20),
)
_NAME = ChannelId(b"\7" * 32)
_TERMS = ChannelTerms(bytes(20), bytes(20), bytes(20), bytes(32))
_CLAIM = Claim(_TERMS, SignedVoucher(Voucher(_NAME, 0, Wei(1), 0), bytes(65)))

_hex = st.one_of(
    st.integers(0, 2**64).map(hex),
    st.binary(max_size=40).map(lambda b: "0x" + b.hex()),
    st.sampled_from([1, 5, 9]).flatmap(
        lambda n: st.binary(min_size=32 * n, max_size=32 * n).map(lambda b: "0x" + b.hex())
    ),
)
_leaf = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5), _hex)
_keys = st.sampled_from(
    [
        "baseFeePerGas",
        "reward",
        "transactionHash",
        "blockNumber",
        "gasUsed",
        "status",
        "contractAddress",
        "logs",
        "number",
        "hash",
        "parentHash",
        "timestamp",
        "address",
        "topics",
        "data",
        "code",
        "message",
    ]
)
_values = st.recursive(
    _leaf, lambda v: st.one_of(st.lists(v, max_size=3), st.dictionaries(_keys, v, max_size=5))
)
# Honest but for what is asked last, so that the lies reach every step of a sending.
_honest: dict[str, Any] = {
    "eth_estimateGas": "0x5208",
    "eth_feeHistory": {"baseFeePerGas": ["0x1"], "reward": [["0x1"]]},
    "eth_getTransactionCount": "0x0",
    "eth_sendRawTransaction": "0x" + "00" * 32,
    "eth_blockNumber": "0x1",
}
_receipt: dict[str, Any] = {
    "transactionHash": "0x" + "00" * 32,
    "blockNumber": "0x1",
    "gasUsed": "0x1",
    "status": "0x1",
    "contractAddress": None,
    "logs": [],
}

Ask = Callable[[EvmChain], Awaitable[object]]
_ASKS: dict[str, Ask] = {
    "check": lambda c: c.check(),
    "epoch": lambda c: c.fetch_epoch(),
    "balance": lambda c: c.fetch_balance(c.account),
    "gas": lambda c: c.fetch_gas_balance(c.account),
    "transfer": lambda c: c.transfer(c.account, Wei(1)),
    "channel": lambda c: c.fetch_channel(_TERMS),
    "open": lambda c: c.open_channel(c.account, Wei(1), c.account),
    "top_up": lambda c: c.top_up(_TERMS, Wei(1)),
    "redeem": lambda c: c.redeem([_CLAIM]),
    "pay_out": lambda c: c.pay_out(c.account),
    "close_as_payee": lambda c: c.close_as_payee(_TERMS),
    "terms": lambda c: c.find_terms(_NAME),
    "close": lambda c: c.start_close(_TERMS),
    "register": lambda c: c.register(PublicKey(_NAME), Digest(_NAME), 1, "x"),
    "registration": lambda c: c.fetch_registration(PublicKey(_NAME)),
    "registry": lambda c: c.fetch_registry(0, 10),
    "ratings": lambda c: c.fetch_ratings([(PublicKey(_NAME), c.account)], [c.account]),
    "registry_events": lambda c: anext(c.registry_events(0)),
    "events": lambda c: anext(c.channel_events(0)),
}


@pytest.mark.parametrize("ask", _ASKS.values(), ids=_ASKS.keys())
@pytest.mark.parametrize("honesty", [0, 1, 2], ids=["never", "sending", "mined"])
@settings(max_examples=EXAMPLES, deadline=None)
@given(lies=st.lists(_values, min_size=1, max_size=6), is_error=st.booleans())
async def test_any_answer_is_survived(
    ask: Ask, honesty: int, lies: list[Any], is_error: bool
) -> None:
    told = 0

    def tell(request: dict[str, Any]) -> dict[str, Any]:
        nonlocal told
        told += 1
        if honesty and request["method"] in _honest:
            return {"id": request["id"], "result": _honest[request["method"]]}
        if honesty == 2 and request["method"] == "eth_getTransactionReceipt":
            return {"id": request["id"], "result": _receipt}
        lie = lies[told % len(lies)]
        return {"id": request["id"], "error" if is_error and lie else "result": lie}

    class Liar(HttpEndpoint):
        async def post(self, body: bytes, limit: int) -> tuple[int, bytes]:
            requests = json.loads(body)
            single = isinstance(requests, dict)
            answers = [tell(r) for r in ([requests] if single else requests)]
            return 200, json.dumps(answers[0] if single else answers).encode()

    chain = EvmChain("http://127.0.0.1:1", _DEPLOYMENT, new_key())
    chain._rpc._endpoint = Liar("http://127.0.0.1:1")
    chain._rpc._backoff_s = 0
    chain._sender._receipt_timeout_s = 0.05
    chain._sender._repair_s = 0.01
    with suppress(ModelexError), trio.move_on_after(0.1):
        await ask(chain)
