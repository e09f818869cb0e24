"""Deposits into payment channels: what one is for, and ERC-3009's authorisation of one.

With the second a payer without gas opens or tops up a channel by a signature that anybody may
bring (contracts/src/interfaces/IPaymentChannels.sol). As a permit it comes through splits.
"""

from dataclasses import dataclass

from eth_hash.backends.pysha3 import keccak256 as keccak

from p2p_modelex.ids import Address, ChannelId, Digest
from p2p_modelex.records import authorization, eip712
from p2p_modelex.records.channel import ChannelTerms
from p2p_modelex.units import Epoch, Wei

_OPEN, _TOP_UP = 0, 1  # IPaymentChannels.Deposit


def encode_opening(terms: ChannelTerms) -> bytes:
    """Return the bytes of a deposit that opens a channel from whoever pays it."""
    parties = eip712.left(terms.payee) + eip712.left(terms.signer)
    return eip712.word(_OPEN) + parties + terms.salt


def encode_top_up(channel: ChannelId) -> bytes:
    """Return the bytes of a deposit that adds to a channel."""
    return eip712.word(_TOP_UP) + channel


@dataclass(frozen=True, slots=True)
class Authorization:
    """`payer` deposits `wei` of split epoch `epoch` at `channels`, the contract, for `form`.

    form: by encode_opening or encode_top_up. salt: tells two authorisations of the same deposit
    apart. valid_before: unix seconds.
    """

    payer: Address
    channels: Address
    wei: Wei
    epoch: Epoch
    form: bytes
    salt: Digest
    valid_before: int

    @property
    def nonce(self) -> Digest:
        """What binds the signature to the deposit's bytes (IPaymentChannels.authorizationNonce)."""
        return Digest(keccak(keccak(self.form) + self.salt))


def sign(deposit: Authorization, domain: Digest, signer: eip712.AccountSigner) -> bytes:
    """Return the payer's signature, r | s | v; `domain` is the token's of the same epoch
    (records.permit.compute_token_domain).
    """
    moved = authorization.AuthorizedTransfer(
        deposit.payer,
        deposit.channels,
        deposit.wei,
        valid_after=0,
        valid_before=deposit.valid_before,
        nonce=deposit.nonce,
    )
    digest = authorization.compute_digest(authorization.RECEIVE, moved, domain)
    return signer.sign_digest(digest)
