"""ERC-2612's permit of the $AI token: a holder lets somebody take money, by a signature alone.

The version of the token's EIP-712 domain is its split epoch + 1: a permit signed before a split
stays good and allows twice its number (contracts/src/token/EpochSignatures.sol).
"""

from dataclasses import dataclass

from eth_hash.backends.pysha3 import keccak256 as keccak

from p2p_modelex.ids import Address, Digest
from p2p_modelex.records import eip712
from p2p_modelex.units import Epoch, Wei

NAME = "Modelex AI"
TYPE = b"Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
_TYPE_HASH = keccak(TYPE)


@dataclass(frozen=True, slots=True)
class Permit:
    """`spender` may take `wei` of split epoch `epoch` from `holder`, whose `nonce` it uses up.

    deadline: unix seconds.
    """

    holder: Address
    spender: Address
    wei: Wei
    epoch: Epoch
    nonce: int
    deadline: int


def compute_token_domain(chain_id: int, token: Address, epoch: Epoch) -> Digest:
    """Return the EIP-712 domain separator of what is signed in a split epoch for the token."""
    return eip712.compute_domain(chain_id, token, name=NAME, version=str(epoch + 1))


def sign(permit: Permit, domain: Digest, signer: eip712.AccountSigner) -> bytes:
    """Return the holder's signature, r | s | v; `domain` is the token's of the permit's epoch."""
    digest = eip712.compute_digest(
        domain,
        _TYPE_HASH,
        eip712.left(permit.holder),
        eip712.left(permit.spender),
        eip712.word(permit.wei),
        eip712.word(permit.nonce),
        eip712.word(permit.deadline),
    )
    return signer.sign_digest(digest)
