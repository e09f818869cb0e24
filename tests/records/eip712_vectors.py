"""Builds protocols/records/vectors/eip712.json with eth-account, which shares no code with ours."""

from typing import Any

from eth_abi.abi import encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak

CHAIN_ID = 31337
CONTRACTS = {
    "channels": "0x5fbdb2315678afecb367f032d93f642f64180aa3",
    "registry": "0xe7f1725e7734ce288f8367e1bb143e90bb3f0512",
    "oracle": "0x9fe46736679d2d9a65f0992f2272de9f3c7fa6e0",
}
DOMAIN_TYPE = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
TYPES = {
    "Voucher": "Voucher(bytes32 channel,uint32 lane,uint128 amount,uint16 epoch)",
    "Receipt": (
        "Receipt(bytes16 job,bytes32 peer,bytes32 request,bytes32 completion,bytes32 weights,"
        "bytes32 engine,uint32 promptTokens,uint32 completionTokens,uint128 price,uint16 epoch,"
        "bytes32 channel,uint32 lane,uint64 finishedAt,uint8 finish)"
    ),
    "Ownership": "Ownership(bytes32 peer,address operator,address delegate,uint64 notAfter)",
    "Report": (
        "Report(bytes32 subject,int128 score,bytes32 completion,uint128 price,uint16 epoch,"
        "uint64 observedAt)"
    ),
}
# Keys for vectors only: anyone can read them here.
KEYS = {
    "operator": "0x" + "11" * 32,
    "delegate": "0x" + "22" * 32,
    "payer": "0x" + "33" * 32,
}
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

_ZEROS = "0x" + "00" * 32
_ONES = "0x" + "ff" * 32
_CHANNEL = "0x" + "c1" * 32
_PEER = "0x" + "".join(f"{byte:02x}" for byte in range(32))


def address_of(role: str) -> str:
    """Return a key's account in lower case."""
    return str(Account.from_key(KEYS[role]).address).lower()


VOUCHERS: dict[str, dict[str, Any]] = {
    "ordinary": {"channel": _CHANNEL, "lane": 3, "amount": 250 * 10**15, "epoch": 0},
    "zero": {"channel": _ZEROS, "lane": 0, "amount": 0, "epoch": 0},
    "largest": {
        "channel": _ONES,
        "lane": 2**32 - 1,
        "amount": 2**128 - 1,
        "epoch": 2**16 - 1,
    },
    "after two splits": {"channel": _CHANNEL, "lane": 63, "amount": 10**18, "epoch": 2},
}
CHANNELS: dict[str, dict[str, str]] = {
    "a delegate signs": {
        "payer": address_of("payer"),
        "payee": address_of("operator"),
        "signer": address_of("delegate"),
        "salt": "0x" + "5a" * 32,
    },
    "the payer signs, a short salt": {
        "payer": address_of("payer"),
        "payee": address_of("operator"),
        "signer": "0x" + "00" * 20,
        "salt": "0x" + "00" * 24 + "1122334455667788",
    },
    "the payer signs, by name": {
        "payer": address_of("payer"),
        "payee": address_of("operator"),
        "signer": address_of("payer"),
        "salt": _ZEROS,
    },
}
RECEIPTS: dict[str, dict[str, Any]] = {
    "ordinary": {
        "job": "0x000102030405060708090a0b0c0d0e0f",
        "peer": _PEER,
        "request": "0x" + "a1" * 32,
        "completion": "0x" + "a2" * 32,
        "weights": "0x" + "a3" * 32,
        "engine": "0x" + "a4" * 32,
        "promptTokens": 21,
        "completionTokens": 144,
        "price": 165 * 10**12,
        "epoch": 1,
        "channel": _CHANNEL,
        "lane": 3,
        "finishedAt": 1_795_000_000_123,
        "finish": 0,
    },
    "zero": {
        "job": "0x" + "00" * 16,
        "peer": _ZEROS,
        "request": _ZEROS,
        "completion": _ZEROS,
        "weights": _ZEROS,
        "engine": _ZEROS,
        "promptTokens": 0,
        "completionTokens": 0,
        "price": 0,
        "epoch": 0,
        "channel": _ZEROS,
        "lane": 0,
        "finishedAt": 0,
        "finish": 1,
    },
    "largest": {
        "job": "0x" + "ff" * 16,
        "peer": _ONES,
        "request": _ONES,
        "completion": _ONES,
        "weights": _ONES,
        "engine": _ONES,
        "promptTokens": 2**32 - 1,
        "completionTokens": 2**32 - 1,
        "price": 2**128 - 1,
        "epoch": 2**16 - 1,
        "channel": _ONES,
        "lane": 2**32 - 1,
        "finishedAt": 2**63 - 1,
        "finish": 2,
    },
}
OWNERSHIPS: dict[str, dict[str, Any]] = {
    "delegated": {
        "peer": _PEER,
        "operator": address_of("operator"),
        "delegate": address_of("delegate"),
        "notAfter": 1_900_000_000_000,
    },
    "operator acts for itself": {
        "peer": _PEER,
        "operator": address_of("operator"),
        "delegate": address_of("operator"),
        "notAfter": 2**63 - 1,
    },
}
REPORTS: dict[str, dict[str, Any]] = {
    "a score": {
        "subject": "0x" + "b1" * 32,
        "score": -425,
        "completion": _ZEROS,
        "price": 10**18,
        "epoch": 1,
        "observedAt": 1_795_000_000,
    },
    "a text": {
        "subject": "0x" + "b2" * 32,
        "score": 0,
        "completion": "0x" + "b3" * 32,
        "price": 0,
        "epoch": 0,
        "observedAt": 0,
    },
    "largest": {
        "subject": _ONES,
        "score": 2**127 - 1,
        "completion": _ONES,
        "price": 2**128 - 1,
        "epoch": 2**16 - 1,
        "observedAt": 2**64 - 1,
    },
    "least score": {
        "subject": _ZEROS,
        "score": -(2**127),
        "completion": _ZEROS,
        "price": 0,
        "epoch": 0,
        "observedAt": 1,
    },
}
_WIDE = ("amount", "price", "finishedAt", "notAfter", "score", "observedAt")


def parse_type(text: str) -> list[dict[str, str]]:
    """Return the fields of a type string as eth-account wants them."""
    inner = text[text.index("(") + 1 : -1]
    pairs = (field.split(" ") for field in inner.split(","))
    return [{"type": kind, "name": name} for kind, name in pairs]


def _sign(primary: str, contract: str, name: str, role: str, message: dict[str, Any]) -> Any:
    signable = encode_typed_data(
        full_message={
            "types": {
                "EIP712Domain": parse_type(DOMAIN_TYPE),
                primary: parse_type(TYPES[primary]),
            },
            "primaryType": primary,
            "domain": {
                "name": "Modelex",
                "version": "1",
                "chainId": CHAIN_ID,
                "verifyingContract": CONTRACTS[contract],
            },
            "message": {
                key: bytes.fromhex(value[2:]) if isinstance(value, str) else value
                for key, value in message.items()
            },
        }
    )
    signed = Account.from_key(KEYS[role]).sign_message(signable)
    case = {key: str(value) if key in _WIDE else value for key, value in message.items()} | {
        "name": name,
        "domainSeparator": "0x" + signable.header.hex(),
        "structHash": "0x" + signable.body.hex(),
        "digest": "0x" + bytes(signed.message_hash).hex(),
        "privateKey": KEYS[role],
        "signer": address_of(role),
        "signature": "0x" + bytes(signed.signature).hex(),
    }
    return dict(sorted(case.items()))


def _cases(
    primary: str, contract: str, role: str, messages: dict[str, dict[str, Any]]
) -> list[Any]:
    return [_sign(primary, contract, name, role, fields) for name, fields in messages.items()]


def _channel(name: str, terms: dict[str, str], domain: str) -> dict[str, str]:
    """One case of EIP712-4."""
    words = [domain, terms["payer"], terms["payee"], terms["signer"], terms["salt"]]
    kinds = ["bytes32", "address", "address", "address", "bytes32"]
    raw = [bytes.fromhex(word[2:]) if len(word) == 66 else word for word in words]
    case = terms | {"name": name, "channel": "0x" + keccak(encode(kinds, raw)).hex()}
    return dict(sorted(case.items()))


def _invalid(good: dict[str, Any]) -> list[dict[str, str]]:
    raw = bytes.fromhex(good["signature"][2:])
    r, s, v = raw[:32], int.from_bytes(raw[32:64], "big"), raw[64:]
    word = 32
    other = bytes([55 - v[0]])
    broken = {
        "high s, v flipped: the malleable twin": r + (ORDER - s).to_bytes(word, "big") + other,
        "high s": r + (ORDER - s).to_bytes(word, "big") + v,
        "v 0": raw[:64] + b"\x00",
        "v 1": raw[:64] + b"\x01",
        "v 26": raw[:64] + b"\x1a",
        "v 29": raw[:64] + b"\x1d",
        "v 255": raw[:64] + b"\xff",
        "zero r": bytes(word) + raw[32:],
        "zero s": r + bytes(word) + v,
        "all zero but v": bytes(64) + v,
        "r is the order": ORDER.to_bytes(word, "big") + raw[32:],
        "r is all ones": b"\xff" * word + raw[32:],
        "s is the order": r + ORDER.to_bytes(word, "big") + v,
        "r is no point on the curve": (5).to_bytes(word, "big") + raw[32:],
        "64 bytes": raw[:64],
        "66 bytes": raw + b"\x00",
        "empty": b"",
    }
    return [
        {"digest": good["digest"], "name": name, "signature": "0x" + signature.hex()}
        for name, signature in broken.items()
    ]


def build() -> dict[str, Any]:
    """Return the whole file. Format: protocols/README.md, `eip712`."""
    vouchers = _cases("Voucher", "channels", "payer", VOUCHERS)
    receipts = _cases("Receipt", "registry", "delegate", RECEIPTS)
    ownerships = _cases("Ownership", "registry", "operator", OWNERSHIPS)
    reports = _cases("Report", "oracle", "delegate", REPORTS)
    return {
        "format": "eip712/1",
        "rules": ["EIP712-1", "EIP712-2", "EIP712-3", "EIP712-4"],
        "domain": {
            "chainId": CHAIN_ID,
            "channels": CONTRACTS["channels"],
            "channelsSeparator": vouchers[0]["domainSeparator"],
            "name": "Modelex",
            "oracle": CONTRACTS["oracle"],
            "oracleSeparator": reports[0]["domainSeparator"],
            "registry": CONTRACTS["registry"],
            "registrySeparator": receipts[0]["domainSeparator"],
            "type": DOMAIN_TYPE,
            "version": "1",
        },
        "types": {
            "ownership": TYPES["Ownership"],
            "receipt": TYPES["Receipt"],
            "report": TYPES["Report"],
            "voucher": TYPES["Voucher"],
        },
        "vouchers": vouchers,
        "channels": [
            _channel(name, terms, vouchers[0]["domainSeparator"])
            for name, terms in CHANNELS.items()
        ],
        "receipts": receipts,
        "ownerships": ownerships,
        "reports": reports,
        "invalid": _invalid(vouchers[0]),
    }
