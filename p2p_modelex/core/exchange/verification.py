"""Whether a receipt is good: what a requester checks live and `modelex verify` offline."""

from p2p_modelex import limits
from p2p_modelex.core.exchange import pricing
from p2p_modelex.core.exchange.sale import compute_request_digest
from p2p_modelex.errors import RemoteProtocolError, VerificationFailed
from p2p_modelex.ids import Digest, PublicKey, peer_id_of
from p2p_modelex.records import envelope, ownership, receipt
from p2p_modelex.records.job import Request
from p2p_modelex.records.ownership import SignedOwnership
from p2p_modelex.records.receipt import SignedReceipt
from p2p_modelex.records.rows import ReceiptRow
from p2p_modelex.units import UnixMs


def verify_receipt(
    signed: SignedReceipt,
    request: Request,
    completion: str,
    proof: SignedOwnership,
    registry_domain: Digest,
) -> None:
    """Raise VerificationFailed unless the receipt is for this request and completion and signed
    by the delegate that `proof` names (EXC-16). The message begins with the failing check.
    """
    made = signed.receipt
    checks = {
        "peer": made.peer == proof.ownership.peer,
        "request": made.request == compute_request_digest(request),
        "completion": made.completion == envelope.digest(completion.encode()),
        "weights": not any(request.weights) or made.weights == request.weights,
        "tokens": made.completion_tokens <= request.max_tokens
        and made.prompt_tokens <= pricing.compute_prompt_tokens_max(request),
        "date": made.finished_at <= proof.ownership.not_after,
    }
    for check, is_good in checks.items():
        if not is_good:
            raise VerificationFailed(f"{check}: the receipt says otherwise (EXC-16)")
    try:
        signer = receipt.recover_signer(signed, registry_domain)
    except RemoteProtocolError as error:
        raise VerificationFailed(f"signature: {error.message} (EXC-16)") from error
    if signer != proof.ownership.delegate:
        raise VerificationFailed("signature: not by the provider's delegate (EXC-16)")


def verify_receipt_row(row: ReceiptRow, registry_domain: Digest, now: UnixMs | None) -> None:
    """Verify a finished job offline; VerificationFailed names the failing check.

    The checks: peer, request, completion, weights, tokens, date, signature, ownership.
    registry_domain: EIP-712 domain of NodeRegistry. now: also check that the receipt is not from
    the future (with limits.CLOCK_SKEW_MS); None skips that.
    """
    made = row.receipt.receipt
    verify_receipt(row.receipt, row.request, row.completion, row.ownership, registry_domain)
    if not row.is_provider and row.peer != peer_id_of(PublicKey(made.peer)):
        raise VerificationFailed("peer: the receipt is by another provider (EXC-16)")
    if now is not None and made.finished_at > now + limits.CLOCK_SKEW_MS:
        raise VerificationFailed("date: the receipt is from the future (EXC-16)")
    try:
        ownership.validate(
            row.ownership, PublicKey(made.peer), registry_domain, UnixMs(made.finished_at)
        )
    except RemoteProtocolError as error:
        raise VerificationFailed(f"ownership: {error.message} (EXC-16)") from error
