"""Blocks, transactions, receipts and logs as JSON-RPC tells them (Ethereum execution APIs)."""

from collections.abc import Iterator
from typing import Any

from eth_hash.backends.pysha3 import keccak256 as keccak

from p2p_modelex.chain.evm.transaction import encode_rlp
from p2p_modelex.chain.evm.wire import to_hex
from p2p_modelex.chain.pyevm.evm import Mined

_BLOOM_BYTES = 256
_TYPED = 2


def _render_header(header: Any) -> dict[str, Any]:
    return {
        "number": hex(header.block_number),
        "hash": to_hex(header.hash),
        "parentHash": to_hex(header.parent_hash),
        "timestamp": hex(header.timestamp),
        "nonce": to_hex(header.nonce),
        "mixHash": to_hex(header.mix_hash),
        "sha3Uncles": to_hex(header.uncles_hash),
        "logsBloom": to_hex(header.bloom.to_bytes(_BLOOM_BYTES, "big")),
        "transactionsRoot": to_hex(header.transaction_root),
        "stateRoot": to_hex(header.state_root),
        "receiptsRoot": to_hex(header.receipt_root),
        "miner": to_hex(header.coinbase),
        "difficulty": hex(header.difficulty),
        "extraData": to_hex(header.extra_data),
        "gasLimit": hex(header.gas_limit),
        "gasUsed": hex(header.gas_used),
        "baseFeePerGas": hex(header.base_fee_per_gas),
    }


def render_block(block: Any, *, full: bool) -> dict[str, Any]:
    """Return a block, with its transactions in full or as hashes."""
    transactions: list[Any] = [
        _render_transaction(block, index) if full else to_hex(transaction.hash)
        for index, transaction in enumerate(block.transactions)
    ]
    return _render_header(block.header) | {"transactions": transactions, "uncles": []}


def render_transaction(mined: Mined) -> dict[str, Any]:
    return _render_transaction(mined.block, mined.index)


def render_receipt(mined: Mined) -> dict[str, Any]:
    transaction = mined.block.transactions[mined.index]
    receipt = mined.receipts[mined.index]
    before = mined.receipts[mined.index - 1].gas_used if mined.index else 0
    return _place(mined.block, mined.index) | {
        "type": hex(_type_of(transaction)),
        "from": to_hex(transaction.sender),
        "to": to_hex(transaction.to) if transaction.to else None,
        "contractAddress": None if transaction.to else to_hex(_created_by(transaction)),
        "cumulativeGasUsed": hex(receipt.gas_used),
        "gasUsed": hex(receipt.gas_used - before),
        "effectiveGasPrice": hex(_price(mined.block, transaction)),
        # Since Byzantium (EIP-658) this field of the receipt holds the status.
        "status": hex(int.from_bytes(receipt.state_root, "big")),
        "logsBloom": to_hex(receipt.bloom.to_bytes(_BLOOM_BYTES, "big")),
        "logs": [
            log for log in render_logs(mined.block, mined.receipts) if _is_of(log, mined.index)
        ],
    }


def render_logs(block: Any, receipts: tuple[Any, ...]) -> Iterator[dict[str, Any]]:
    """Yield every log of a block, in order."""
    serial = 0
    for index, receipt in enumerate(receipts):
        for log in receipt.logs:
            yield _place(block, index) | {
                "address": to_hex(log.address),
                "topics": [to_hex(topic.to_bytes(32, "big")) for topic in log.topics],
                "data": to_hex(log.data),
                "logIndex": hex(serial),
                "removed": False,
            }
            serial += 1


def _is_of(log: dict[str, Any], index: int) -> bool:
    return bool(log["transactionIndex"] == hex(index))


def _place(block: Any, index: int) -> dict[str, Any]:
    return {
        "blockHash": to_hex(block.hash),
        "blockNumber": hex(block.number),
        "transactionHash": to_hex(block.transactions[index].hash),
        "transactionIndex": hex(index),
    }


def _render_transaction(block: Any, index: int) -> dict[str, Any]:
    transaction = block.transactions[index]
    place = _place(block, index)
    kind = _type_of(transaction)
    fees = (
        {}
        if kind < _TYPED
        else {
            "maxFeePerGas": hex(transaction.max_fee_per_gas),
            "maxPriorityFeePerGas": hex(transaction.max_priority_fee_per_gas),
        }
    )
    return fees | {
        "blockHash": place["blockHash"],
        "blockNumber": place["blockNumber"],
        "transactionIndex": place["transactionIndex"],
        "hash": place["transactionHash"],
        "type": hex(kind),
        "nonce": hex(transaction.nonce),
        "from": to_hex(transaction.sender),
        "to": to_hex(transaction.to) if transaction.to else None,
        "value": hex(transaction.value),
        "gas": hex(transaction.gas),
        "gasPrice": hex(_price(block, transaction)),
        "input": to_hex(transaction.data),
    }


def _type_of(transaction: Any) -> int:
    """Return the type of EIP-2718; transactions from before it have none."""
    return int(getattr(transaction, "type_id", None) or 0)


def _price(block: Any, transaction: Any) -> int:
    base = block.header.base_fee_per_gas
    return int(min(transaction.max_fee_per_gas, base + transaction.max_priority_fee_per_gas))


def _created_by(transaction: Any) -> bytes:
    return keccak(encode_rlp([transaction.sender, transaction.nonce]))[12:]
