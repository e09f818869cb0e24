"""ERC-3009's authorisations of the $AI token: who holds money lets it move, by a signature alone.

As a permit they come through splits (records/permit.py). Deposits into channels are authorised
likewise, for the contract alone to bring (records/deposit.py).
"""

from dataclasses import dataclass

from eth_hash.backends.pysha3 import keccak256 as keccak

from p2p_modelex.ids import Address, Digest
from p2p_modelex.records import eip712
from p2p_modelex.units import Wei

_FIELDS = (
    b"(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
)
TRANSFER = keccak(b"TransferWithAuthorization" + _FIELDS)
"""For anybody to bring."""
RECEIVE = keccak(b"ReceiveWithAuthorization" + _FIELDS)
"""For `to` to bring."""


@dataclass(frozen=True, slots=True)
class AuthorizedTransfer:
    """`wei` may move from `payer` to `to`, once: `nonce` is used up.

    wei: of the split epoch that the signature's domain says. valid_after, valid_before: unix
    seconds, neither of them included.
    """

    payer: Address
    to: Address
    wei: Wei
    valid_after: int
    valid_before: int
    nonce: Digest


def compute_digest(kind: bytes, transfer: AuthorizedTransfer, domain: Digest) -> Digest:
    """Return what is signed. kind: TRANSFER or RECEIVE. domain: the token's of the split epoch
    (records.permit.compute_token_domain).
    """
    return eip712.compute_digest(
        domain,
        kind,
        eip712.left(transfer.payer),
        eip712.left(transfer.to),
        eip712.word(transfer.wei),
        eip712.word(transfer.valid_after),
        eip712.word(transfer.valid_before),
        transfer.nonce,
    )
