"""The report: a provider's signed answer, a score or a text, for the oracle and for score feeds.

OracleHub.sol and ScoreFeed.sol check it; what its fields mean there, IOracleHub.sol says. It does
not travel between peers but to the chain, by anyone, or in a file.
"""

from dataclasses import dataclass

from eth_hash.backends.pysha3 import keccak256 as keccak

from p2p_modelex.errors import BadInput, RemoteProtocolError, VerificationFailed
from p2p_modelex.ids import Address, Digest
from p2p_modelex.records import eip712
from p2p_modelex.units import Epoch, Wei

TYPE = (
    b"Report(bytes32 subject,int128 score,bytes32 completion,uint128 price,uint16 epoch,"
    b"uint64 observedAt)"
)
_TYPE_HASH = keccak(TYPE)
NO_COMPLETION = Digest(bytes(32))
"""The completion of a score."""


@dataclass(frozen=True, slots=True)
class Report:
    """An answer to `subject`: an oracle request's id, or a question nobody paid for.

    score: -2^127 to 2^127-1, in the asker's units. completion: Keccak-256 of the text, or
    NO_COMPLETION. price: wei asked for it, in split epoch `epoch`. observed_at: unix seconds.
    """

    subject: Digest
    score: int
    completion: Digest
    price: Wei
    epoch: Epoch
    observed_at: int

    def __post_init__(self) -> None:
        """Raise BadInput for what the contract's types do not hold."""
        if not (len(self.subject) == len(self.completion) == 32):
            raise BadInput("a subject and a completion are 32 bytes each")
        if not -(2**127) <= self.score < 2**127:
            raise BadInput(f"a score lies in -2^127..2^127-1, not {self.score}")
        if not 0 <= self.epoch < 2**16:
            raise BadInput(f"a split epoch lies in 0..2^16-1, not {self.epoch}")
        if not 0 <= self.observed_at < 2**64:
            raise BadInput(f"unix seconds lie in 0..2^64-1, not {self.observed_at}")


@dataclass(frozen=True, slots=True)
class SignedReport:
    """A report, who signed it, and the signature: a key's, or whatever a contract accepts."""

    report: Report
    signer: Address
    signature: bytes


def compute_digest(report: Report, domain: Digest) -> Digest:
    """Return the EIP-712 digest; `domain` is that of the OracleHub contract."""
    return eip712.compute_digest(
        domain,
        _TYPE_HASH,
        report.subject,
        eip712.signed_word(report.score),
        report.completion,
        eip712.word(report.price),
        eip712.word(report.epoch),
        eip712.word(report.observed_at),
    )


def sign(report: Report, domain: Digest, signer: eip712.AccountSigner) -> SignedReport:
    """Sign with a provider's key."""
    signature = signer.sign_digest(compute_digest(report, domain))
    return SignedReport(report, signer.address, signature)


def validate(signed: SignedReport, domain: Digest) -> None:
    """Raise VerificationFailed unless its signer's key signed it.

    A contract's signature (ERC-1271) only the chain can judge: it fails here.
    """
    try:
        found = eip712.recover(compute_digest(signed.report, domain), signed.signature)
    except RemoteProtocolError as error:
        raise VerificationFailed(f"signature: {error.message}") from error
    if found != signed.signer:
        raise VerificationFailed(f"signature: by 0x{found.hex()}, not 0x{signed.signer.hex()}")
