"""EIP-1559 transactions: encoded and signed by hand, so that the key stays behind AccountSigner.

eth-account would need the raw private key and 2 s of CPU to import; the tests hold this encoding
to it. Formats: EIP-1559, EIP-2718, and RLP as in the Ethereum yellow paper, appendix B.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eth_hash.backends.pysha3 import keccak256 as keccak

from p2p_modelex.ids import Address, Digest
from p2p_modelex.records.eip712 import AccountSigner, recover

_TYPE = b"\x02"

RlpItem = bytes | int | Sequence["RlpItem"]


@dataclass(frozen=True, slots=True)
class Transaction:
    """What is signed. to: None creates a contract. Fees are native wei for a unit of gas."""

    chain_id: int
    nonce: int
    tip: int
    fee_cap: int
    gas: int
    to: Address | None
    value: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """The bytes to broadcast and their hash (Keccak-256)."""

    raw: bytes
    hash: Digest
    nonce: int


def sign_transaction(transaction: Transaction, signer: AccountSigner) -> SignedTransaction:
    """Sign for the signer's account; deterministic if the signer is (RFC 6979)."""
    fields: list[RlpItem] = [
        transaction.chain_id,
        transaction.nonce,
        transaction.tip,
        transaction.fee_cap,
        transaction.gas,
        transaction.to or b"",
        transaction.value,
        transaction.payload,
        [],  # access list: not used
    ]
    signature = signer.sign_digest(Digest(keccak(_TYPE + encode_rlp(fields))))
    parity = signature[64] - 27
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    raw = _TYPE + encode_rlp([*fields, parity, r, s])
    return SignedTransaction(raw, Digest(keccak(raw)), transaction.nonce)


def read_transaction(raw: bytes) -> tuple[Transaction, SignedTransaction]:
    """Read what `sign_transaction` made."""
    fields, _ = _read_item(raw, len(_TYPE))
    chain_id, nonce, tip, fee_cap, gas, to, value, payload = fields[:8]
    transaction = Transaction(
        int.from_bytes(chain_id),
        int.from_bytes(nonce),
        int.from_bytes(tip),
        int.from_bytes(fee_cap),
        int.from_bytes(gas),
        Address(to) if to else None,
        int.from_bytes(value),
        payload,
    )
    return transaction, SignedTransaction(raw, Digest(keccak(raw)), transaction.nonce)


def recover_sender(raw: bytes) -> Address:
    """Return the account that signed what `sign_transaction` made."""
    fields, _ = _read_item(raw, len(_TYPE))
    *unsigned, parity, r, s = fields
    signature = r.rjust(32, b"\0") + s.rjust(32, b"\0") + bytes([27 + int.from_bytes(parity)])
    return recover(Digest(keccak(_TYPE + encode_rlp(unsigned))), signature)


def _read_item(raw: bytes, at: int) -> tuple[Any, int]:
    """Read bytes, or a list of items; returns where it ends too."""
    head = raw[at]
    if head < 0x80:
        return raw[at : at + 1], at + 1
    is_list = head >= 0xC0
    length, at = head - (0xC0 if is_list else 0x80), at + 1
    if length > 55:
        digits, at = raw[at : at + length - 55], at + length - 55
        length = int.from_bytes(digits)
    end = at + length
    if not is_list:
        return raw[at:end], end
    items = []
    while at < end:
        item, at = _read_item(raw, at)
        items.append(item)
    return items, end


def encode_rlp(item: RlpItem) -> bytes:
    """Encode bytes, unsigned integers (big-endian, no leading zeros) and lists of them."""
    if isinstance(item, int):
        return encode_rlp(item.to_bytes((item.bit_length() + 7) // 8, "big"))
    if isinstance(item, bytes):
        if len(item) == 1 and item[0] < 0x80:
            return item
        return _rlp_head(0x80, len(item)) + item
    body = b"".join(encode_rlp(part) for part in item)
    return _rlp_head(0xC0, len(body)) + body


def _rlp_head(offset: int, length: int) -> bytes:
    if length < 56:
        return bytes([offset + length])
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([offset + 55 + len(size)]) + size
