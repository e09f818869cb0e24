"""A payment channel: the terms that name it, its state as the chain has it, and a claim on it.

Rules: protocols/ledger/README.md. Its id is that of PaymentChannels.sol (EIP712-4).
"""

import msgspec
from eth_hash.backends.pysha3 import keccak256 as keccak

from p2p_modelex.ids import Address, ChannelId, Digest
from p2p_modelex.records import eip712
from p2p_modelex.records.types import U16, U64, Bytes20, Bytes32
from p2p_modelex.records.voucher import SignedVoucher
from p2p_modelex.units import Wei

PAYER_SIGNS = Address(bytes(20))
"""The signer of a channel whose payer signs its vouchers itself: zero bytes are cheap on chain."""


SALT_BYTES = 8
"""Of a salt that we make; its other bytes are zero, which is cheaper with each claim. An id is
bound to its payer, so nobody else can take one, and the channels of one payer to one payee do not
meet by chance in 2^64.
"""


def build_salt(entropy: bytes) -> Digest:
    """Return a salt from the first SALT_BYTES of something that does not come twice."""
    return Digest(entropy[:SALT_BYTES].rjust(32, b"\0"))


class PayerTerms(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False
):
    """What a payee lacks to name a channel to itself.

    payer: the EVM account that paid in. signer: the account whose vouchers count, PAYER_SIGNS for
    the payer. salt: tells apart the channels of the same accounts.
    """

    payer: Bytes20
    signer: Bytes20
    salt: Bytes32

    def to(self, payee: Address) -> "ChannelTerms":
        """The whole terms of the channel to `payee`."""
        return ChannelTerms(self.payer, payee, self.signer, self.salt)


class ChannelTerms(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False
):
    """What names a channel. The contract stores none of it: whoever acts on a channel brings it."""

    payer: Bytes20
    payee: Bytes20
    signer: Bytes20
    salt: Bytes32

    @property
    def of_payer(self) -> PayerTerms:
        """What a payee lacks of them."""
        return PayerTerms(self.payer, self.signer, self.salt)


def compute_id(terms: ChannelTerms, domain: Digest) -> ChannelId:
    """Return the channel's id (EIP712-4); `domain` is that of the PaymentChannels contract."""
    names = eip712.left(terms.payer) + eip712.left(terms.payee) + eip712.left(terms.signer)
    return ChannelId(keccak(domain + names + terms.salt))


class ChannelState(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False
):
    """A channel at a confirmed block.

    payer, payee, signer, salt: its terms. deposit, claimed: wei in split epoch `epoch`, claimed
    over all lanes. closes_at: unix seconds when the payer may take the rest, 0 while open.
    """

    channel: Bytes32
    payer: Bytes20
    payee: Bytes20
    signer: Bytes20
    salt: Bytes32
    deposit: Wei
    claimed: Wei
    epoch: U16
    closes_at: U64

    @property
    def is_open(self) -> bool:
        """Whether nobody has begun to close it."""
        return self.closes_at == 0

    @property
    def terms(self) -> ChannelTerms:
        """What names it on chain."""
        return ChannelTerms(self.payer, self.payee, self.signer, self.salt)

    @property
    def voucher_signer(self) -> Address:
        """The account whose vouchers count."""
        return Address(self.signer if any(self.signer) else self.payer)


class Claim(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """A voucher with the terms of its channel: what redeems it."""

    terms: ChannelTerms
    signed: SignedVoucher
