"""What a payment must be, as far as it says so itself."""

from p2p_modelex.errors import RemoteProtocolError
from p2p_modelex.ids import Digest, format_address, parse_address
from p2p_modelex.node.gateway.charging import shapes
from p2p_modelex.node.gateway.charging.payment import Signed
from p2p_modelex.records import eip712
from p2p_modelex.records.authorization import TRANSFER, AuthorizedTransfer, compute_digest
from p2p_modelex.units import UINT128_MAX, Wei, format_ai

LEFT_S = 120
"""How long a payment must still be good: a provider has to have begun by then."""


class Unpaid(Exception):
    """A payment that is not good; says why."""


def read_payment(text: str, terms: shapes.Requirement) -> Signed:
    """Return what was signed. Raises Refusal where it is no payment, and Unpaid where it is not by
    these terms, whose amount is another matter: prices move.
    """
    paid = shapes.decode_payment(text)
    accepted, fields = paid.accepted, paid.payload.authorization
    for name in ("scheme", "network", "asset", "pay_to"):
        wanted, found = getattr(terms, name), getattr(accepted, name)
        if found.lower() != wanted.lower():
            raise Unpaid(f"the payment's {name} is not {wanted}")
    if fields.to.lower() != terms.pay_to:
        raise Unpaid(f"the payment is not to {terms.pay_to}")
    amount = int(fields.value)
    if amount != int(accepted.amount):
        raise Unpaid("the payment is not of the amount that it says it accepts")
    if amount > UINT128_MAX:
        raise Unpaid("the payment is of more than there is")
    transfer = AuthorizedTransfer(
        payer=parse_address(fields.from_.lower()),
        to=parse_address(fields.to.lower()),
        wei=Wei(amount),
        valid_after=int(fields.valid_after),
        valid_before=int(fields.valid_before),
        nonce=Digest(bytes.fromhex(fields.nonce[2:])),
    )
    return Signed(transfer, bytes.fromhex(paid.payload.signature[2:]))


def validate_amount(worth: Wei, least: Wei) -> None:
    """Raise Unpaid if it is too little; who signed more has agreed to that."""
    if worth < least:
        raise Unpaid(f"{format_ai(worth)} are too little: it costs at least {format_ai(least)}")


def validate_times(transfer: AuthorizedTransfer, now: float) -> None:
    """Raise Unpaid if it is not good at `now`, unix seconds, or not for long enough."""
    if transfer.valid_after >= now:
        raise Unpaid("the payment is not good yet")
    if transfer.valid_before < now + LEFT_S:
        raise Unpaid(f"the payment has expired, or does within {LEFT_S} s")


def validate_signature(signed: Signed, domain: Digest) -> None:
    """Raise Unpaid if its payer did not sign it; `domain` is the token's of its split epoch."""
    transfer = signed.transfer
    try:
        signer = eip712.recover(compute_digest(TRANSFER, transfer, domain), signed.signature)
    except RemoteProtocolError as error:
        raise Unpaid(f"the signature is none: {error.message}") from error
    if signer != transfer.payer:
        raise Unpaid(f"it is not {format_address(transfer.payer)} that signed the payment")
