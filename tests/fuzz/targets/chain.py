"""A JSON-RPC endpoint that answers anything: a result of the right shape, or one of our errors."""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import trio
import trio.testing
from eth_abi.abi import encode

from p2p_modelex.chain.abc import Deployment
from p2p_modelex.chain.evm.artifacts import load_contracts
from p2p_modelex.chain.evm.http import HttpEndpoint
from p2p_modelex.chain.evm.port import EvmChain
from p2p_modelex.errors import ChainError, ConfigurationError
from p2p_modelex.ids import Address, ChannelId, Digest, PublicKey, format_address
from p2p_modelex.records.channel import ChannelTerms, Claim
from p2p_modelex.records.signers import EvmSigner
from p2p_modelex.records.voucher import SignedVoucher, Voucher
from p2p_modelex.units import Wei
from tests.fuzz import trees
from tests.fuzz.choices import Choices

_DEPLOYMENT = Deployment("x", 31337, *(Address(bytes([i]) * 20) for i in (1, 2, 3)))
_SIGNER = EvmSigner(b"\x01" * 32)
_NAME = ChannelId(b"\7" * 32)
_TERMS = ChannelTerms(_SIGNER.address, _SIGNER.address, bytes(20), bytes(32))
_CLAIM = Claim(_TERMS, SignedVoucher(Voucher(_NAME, 0, Wei(1), 0), bytes(65)))
_WORD = "0x" + "00" * 31 + "07"
_US = format_address(_SIGNER.address)
_CONTRACTS = load_contracts()


def _pack(types: list[str], values: list[Any]) -> str:
    return "0x" + encode(types, values).hex()


_ID = _DEPLOYMENT.channel_id(_TERMS)
_PARTY = "0x" + "00" * 12 + _US[2:]
_CHANNEL = _pack(["uint256", "uint256", "uint16", "uint64", "uint8"], [10, 1, 0, 0, 1])
_CALLS = (
    _WORD,
    _CHANNEL,
    _pack(["string"], ["a"]),
    "0x" + "00" * 31 + "20" + _CHANNEL[2:] + "ff" * 32,
    "0x08c379a0" + "00" * 31 + "20" + "00" * 31 + "02" + "ff" * 32,
    "0x" + "ff" * 32,
    "0x" + "ff" * 320,
    "0x",
    _pack(
        ["(bytes32,address,uint64,uint8,bytes32,uint64,uint64,string)[]"],
        [[(_NAME, _US, 7, 1, _NAME, 1, 2, "https://example.org")]],
    ),
)
_LOG = {
    "address": format_address(_DEPLOYMENT.channels),
    "topics": [
        "0x" + _CONTRACTS.channels.topic("Opened").hex(),
        "0x" + _ID.hex(),
        _PARTY,
        _PARTY,
    ],
    "data": _pack(["address", "bytes32", "uint128"], ["0x" + "00" * 20, bytes(32), 10]),
    "blockNumber": "0x1",
}
_CHANGED = {
    "address": format_address(_DEPLOYMENT.registry),
    "topics": [
        "0x" + _CONTRACTS.registry.topic("SectionChanged").hex(),
        "0x" + _NAME.hex(),
        "0x" + "00" * 12 + _US[2:],
        "0x" + "00" * 12 + _US[2:],
    ],
    "data": _pack(["uint8", "uint8", "string"], [0, 1, "known"]),
    "blockNumber": "0x1",
}
_RECEIPT: dict[str, Any] = {
    "transactionHash": "0x" + "00" * 32,
    "blockNumber": "0x1",
    "gasUsed": "0x1",
    "status": "0x1",
    "contractAddress": None,
    "logs": [_LOG],
}
_HEADER = {
    "number": "0x1",
    "hash": "0x" + "01" * 32,
    "parentHash": "0x" + "02" * 32,
    "timestamp": "0x5",
}
_GOOD: dict[str, Any] = {
    "eth_estimateGas": "0x5208",
    "eth_feeHistory": {"baseFeePerGas": ["0x1"], "reward": [["0x1"]]},
    "eth_getTransactionCount": "0x0",
    "eth_sendRawTransaction": "0x" + "00" * 32,
    "eth_blockNumber": "0x4",
    "eth_chainId": "0x7a69",
    "eth_getCode": "0x6000",
    "eth_getBalance": "0x1",
    "eth_getTransactionReceipt": _RECEIPT,
    "eth_getBlockByNumber": _HEADER,
    "eth_getLogs": [_LOG, _CHANGED],
    "eth_call": _CHANNEL,
}
_LIKE: tuple[Any, ...] = (
    *_CALLS,
    "0x",
    "0x0",
    "0x_1",
    "0x" + "f" * 64,
    None,
    [],
    {},
    "0xzz",
    True,
    2**300,
    -1,
    _LOG,
    _CHANGED,
)


async def _look_twice(events: AsyncGenerator[object, None]) -> None:
    with suppress(StopAsyncIteration):
        await anext(events)
        await anext(events)
    await events.aclose()


_ASKS: tuple[Callable[[EvmChain], Awaitable[object]], ...] = (
    lambda c: c.check(),
    lambda c: c.fetch_epoch(),
    lambda c: c.fetch_balance(c.account),
    lambda c: c.fetch_gas_balance(c.account),
    lambda c: c.transfer(c.account, Wei(1)),
    lambda c: c.fetch_channel(_TERMS),
    lambda c: c.open_channel(c.account, Wei(1), c.account),
    lambda c: c.top_up(_TERMS, Wei(1)),
    lambda c: c.redeem([_CLAIM]),
    lambda c: c.find_terms(_ID),
    lambda c: c.start_close(_TERMS),
    lambda c: c.register(PublicKey(_NAME), Digest(_NAME), 1, "x"),
    lambda c: c.fetch_registration(PublicKey(_NAME)),
    lambda c: c.fetch_genesis(),
    lambda c: _look_twice(c.channel_events(0)),
    lambda c: _look_twice(c.registry_events(0)),
    lambda c: c.fetch_registry(0, 2, 1),
    lambda c: c.pay_out(c.account),
    lambda c: c.close_as_payee(_TERMS),
)


class Liar(HttpEndpoint):
    """Answers in memory, by the fuzzer's choices."""

    def __init__(self, choices: Choices) -> None:
        super().__init__("http://127.0.0.1:1")
        self._choices = choices

    async def post(self, body: bytes, limit: int) -> tuple[int, bytes]:
        await trio.lowlevel.checkpoint()
        choices, asked = self._choices, json.loads(body)
        if choices.chance(6):
            return choices.pick((200, 429, 404)), choices.some()
        single = isinstance(asked, dict)
        answers: Any = [self._answer(one) for one in ([asked] if single else asked)]
        answer = answers[0] if single and not choices.chance(8) else answers
        if choices.chance(24):
            answer = trees.bend(answer, choices, _LIKE)
        return 200, trees.write_json(answer)

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        choices, method = self._choices, asked["method"]
        result = _GOOD.get(method)
        if method == "eth_call" and choices.chance(160):
            result = choices.pick(_CALLS)
        if choices.chance(64):
            result = trees.bend(result, choices, _LIKE)
        if choices.chance(16):
            fault = {"code": choices.integer(), "message": "x", "data": result}
            return {"id": asked["id"], "error": fault}
        return {"id": asked["id"], "result": result}


def run(content: bytes) -> None:
    choices = Choices(content)
    trio.run(_ask, choices, clock=trio.testing.MockClock(autojump_threshold=0))
    check_abi(choices)


async def _ask(choices: Choices) -> None:
    chain = EvmChain("http://127.0.0.1:1", _DEPLOYMENT, _SIGNER)
    chain._rpc._endpoint = Liar(choices)
    chain._sender._receipt_timeout_s, chain._sender._repair_s = 1.0, 0.4
    for _ in range(1 + choices.below(2)):
        ask = choices.pick(_ASKS)
        with suppress(ChainError, ConfigurationError), trio.move_on_after(20):
            await ask(chain)


def check_abi(choices: Choices) -> None:
    """Revert bytes become a sentence, whatever they are."""
    raw = choices.rest()
    assert isinstance(_CONTRACTS.errors.decode_error(raw).text, str)
    assert isinstance(_CONTRACTS.errors.decode_error(b"\x08\xc3y\xa0" + raw).text, str)
