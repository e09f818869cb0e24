"""The voucher: a payer's signed, cumulative promise on one lane of one channel.

Rules: protocols/ledger/README.md. Checked on chain by PaymentChannels.sol.
"""

import msgspec
from eth_hash.backends.pysha3 import keccak256 as keccak

from p2p_modelex.ids import Address, Digest
from p2p_modelex.records import eip712
from p2p_modelex.records.types import U16, U32, Bytes32, Signature65
from p2p_modelex.units import Wei

TYPE = b"Voucher(bytes32 channel,uint32 lane,uint128 amount,uint16 epoch)"
_TYPE_HASH = keccak(TYPE)


class Voucher(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """`amount` wei in all, in split epoch `epoch`, may be redeemed on this lane."""

    channel: Bytes32
    lane: U32
    amount: Wei
    epoch: U16


class SignedVoucher(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False
):
    """A voucher and the signature of the channel's payer or its delegate."""

    voucher: Voucher
    signature: Signature65


def compute_digest(voucher: Voucher, domain: Digest) -> Digest:
    """Return the EIP-712 digest; `domain` is that of the PaymentChannels contract."""
    return eip712.compute_digest(
        domain,
        _TYPE_HASH,
        voucher.channel,
        eip712.word(voucher.lane),
        eip712.word(voucher.amount),
        eip712.word(voucher.epoch),
    )


def sign(voucher: Voucher, domain: Digest, signer: eip712.AccountSigner) -> SignedVoucher:
    """Sign a voucher with the payer's key."""
    return SignedVoucher(voucher, signer.sign_digest(compute_digest(voucher, domain)))


def recover_signer(signed: SignedVoucher, domain: Digest) -> Address:
    """Return who signed; RemoteProtocolError EIP712-1 if the signature is malformed."""
    return eip712.recover(compute_digest(signed.voucher, domain), signed.signature)
