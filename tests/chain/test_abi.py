from typing import Any

import pytest
from eth_abi.abi import encode
from eth_hash.backends.pysha3 import keccak256 as keccak

from p2p_modelex.chain.evm.abi import Abi
from p2p_modelex.chain.evm.fees import TIP_MAX, TIP_MIN, compute_fees
from p2p_modelex.chain.evm.wire import (
    Log,
    read_bytes,
    read_header,
    read_logs,
    read_quantity,
    read_receipt,
)
from p2p_modelex.errors import BadInput, ChainUnreachable
from p2p_modelex.ids import Address

_ABI = Abi(
    [
        {
            "type": "function",
            "name": "pay",
            "inputs": [
                {
                    "name": "list",
                    "type": "tuple[]",
                    "components": [
                        {"name": "who", "type": "address"},
                        {"name": "n", "type": "uint32"},
                    ],
                }
            ],
            "outputs": [{"name": "", "type": "uint256"}],
        },
        {"type": "error", "name": "Wrong", "inputs": [{"name": "by", "type": "bytes4"}]},
        {
            "type": "event",
            "name": "Paid",
            "inputs": [
                {"name": "who", "type": "address", "indexed": True},
                {"name": "n", "type": "uint32", "indexed": False},
            ],
        },
    ]
)


def test_a_call_with_structs_is_encoded() -> None:
    payload = _ABI.encode_call("pay", [("0x" + "11" * 20, 7)])
    assert payload[:4] == keccak(b"pay((address,uint32)[])")[:4]
    assert _ABI.decode_result("pay", (5).to_bytes(32, "big")) == (5,)


@pytest.mark.parametrize("argument", [[("0x11", 7)], [("0x" + "11" * 20, -1)], 7, None])
def test_bad_arguments_are_refused(argument: Any) -> None:
    with pytest.raises(BadInput):
        _ABI.encode_call("pay", argument)


@pytest.mark.parametrize("answer", [b"", b"\1", b"\1" * 31])
def test_a_short_answer_does_not_decode(answer: bytes) -> None:
    with pytest.raises(ChainUnreachable, match="does not decode"):
        _ABI.decode_result("pay", answer)


def explain(reason: bytes) -> str:
    return _ABI.decode_error(reason).text


def test_errors_are_explained_by_name_and_arguments() -> None:
    wrong = keccak(b"Wrong(bytes4)")[:4]
    assert explain(wrong + encode(["bytes4"], [b"abcd"])) == "Wrong(by=0x61626364)"
    assert explain(wrong + b"\1") == "Wrong"
    message = keccak(b"Error(string)")[:4] + encode(["string"], ["no money"])
    assert explain(message) == "Error(message=no money)"
    panic = keccak(b"Panic(uint256)")[:4] + encode(["uint256"], [17])
    assert explain(panic) == "Panic(code=17)"
    assert explain(b"\1\2\3\4") == "unknown error 0x01020304"
    assert explain(b"") == "no reason given"


def test_an_event_is_decoded_and_a_strange_one_is_none() -> None:
    who, n = bytes(12) + b"\5" * 20, (9).to_bytes(32, "big")
    place = Address(b"\1" * 20)
    event = _ABI.decode_event(Log(place, (_ABI.topic("Paid"), who), n, 3))
    assert event is not None
    assert (event.name, event.block) == ("Paid", 3)
    assert event.arguments == {"who": "0x" + "05" * 20, "n": 9}
    for topics, payload in (
        ((), n),
        ((b"\7" * 32,), n),
        ((_ABI.topic("Paid"),), n),
        ((_ABI.topic("Paid"), b"\1" * 32), n),
        ((_ABI.topic("Paid"), who), b""),
    ):
        assert _ABI.decode_event(Log(place, topics, payload, 3)) is None


def test_fees_cover_twice_the_base_and_the_median_tip() -> None:
    history = {"baseFeePerGas": ["0x1", "0x64"], "reward": [["0x5f5e100"], ["0x1"], ["0xbebc200"]]}
    assert compute_fees(history) == (10**8, 200 + 10**8)
    assert compute_fees({"baseFeePerGas": ["0x64"], "reward": None}) == (TIP_MIN, 200 + TIP_MIN)
    greedy = {"baseFeePerGas": ["0x64"], "reward": [[hex(10**20)]]}
    assert compute_fees(greedy) == (TIP_MAX, 200 + TIP_MAX)


_NONSENSE: list[Any] = [
    {"baseFeePerGas": {}},
    {"baseFeePerGas": ["0x1"], "reward": [7]},
    None,
    7,
    "7",
    "0x",
    "0xzz",
    [],
    {},
    "0x" + "1" * 70,
]


@pytest.mark.parametrize("value", _NONSENSE)
def test_nonsense_from_the_endpoint_is_an_absent_endpoint(value: Any) -> None:
    readers = (
        read_quantity,
        lambda v: read_bytes(v, 32),
        read_header,
        read_receipt,
        compute_fees,
        lambda v: read_logs([v]),
        lambda v: read_logs(v or None),
    )
    for reader in readers:
        with pytest.raises(ChainUnreachable):
            reader(value)
