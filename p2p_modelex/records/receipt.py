"""The receipt: the provider's signed account of one job. Rules: protocols/exchange/README.md."""

from enum import IntEnum

import msgspec
from eth_hash.backends.pysha3 import keccak256 as keccak

from p2p_modelex.ids import Address, Digest
from p2p_modelex.records import eip712
from p2p_modelex.records.types import U16, U32, U64, Bytes16, Bytes32, Signature65
from p2p_modelex.units import Wei

TYPE = (
    b"Receipt(bytes16 job,bytes32 peer,bytes32 request,bytes32 completion,bytes32 weights,"
    b"bytes32 engine,uint32 promptTokens,uint32 completionTokens,uint128 price,uint16 epoch,"
    b"bytes32 channel,uint32 lane,uint64 finishedAt,uint8 finish)"
)
_TYPE_HASH = keccak(TYPE)


class Finish(IntEnum):
    """Why the completion ended."""

    STOP = 0
    LENGTH = 1
    CANCELLED = 2
    TOOL_CALLS = 3


class Receipt(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """What was asked, answered, counted and owed.

    peer: the provider's Ed25519 key. request: SHA-256 of the encoded Request. completion: SHA-256
    of the completion's UTF-8 text. weights: SHA-256 of the model file. engine: SHA-256 of the
    engine's name, version and library, since only the same set re-executes to the same bytes.
    price: wei owed for the whole job, in split epoch `epoch`. finished_at: unix ms.
    """

    job: Bytes16
    peer: Bytes32
    request: Bytes32
    completion: Bytes32
    weights: Bytes32
    engine: Bytes32
    prompt_tokens: U32
    completion_tokens: U32
    price: Wei
    epoch: U16
    channel: Bytes32
    lane: U32
    finished_at: U64
    finish: Finish


class SignedReceipt(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False
):
    """A receipt and the signature of the provider's delegate."""

    receipt: Receipt
    signature: Signature65


def compute_digest(receipt: Receipt, domain: Digest) -> Digest:
    """Return the EIP-712 digest; `domain` is that of the NodeRegistry contract."""
    return eip712.compute_digest(
        domain,
        _TYPE_HASH,
        eip712.right(receipt.job),
        receipt.peer,
        receipt.request,
        receipt.completion,
        receipt.weights,
        receipt.engine,
        eip712.word(receipt.prompt_tokens),
        eip712.word(receipt.completion_tokens),
        eip712.word(receipt.price),
        eip712.word(receipt.epoch),
        receipt.channel,
        eip712.word(receipt.lane),
        eip712.word(receipt.finished_at),
        eip712.word(receipt.finish),
    )


def sign(receipt: Receipt, domain: Digest, signer: eip712.AccountSigner) -> SignedReceipt:
    """Sign with the provider's delegate key."""
    return SignedReceipt(receipt, signer.sign_digest(compute_digest(receipt, domain)))


def recover_signer(signed: SignedReceipt, domain: Digest) -> Address:
    """Return who signed; RemoteProtocolError EIP712-1 if the signature is malformed."""
    return eip712.recover(compute_digest(signed.receipt, domain), signed.signature)
