"""The till: what a request costs who has no key, and taking the payment by x402.

Verified before anything is begun, brought to the chain when the first piece of the answer is
there, and only then is anything given away: who pays has a provider at work, who sells has the
money. The node is its own facilitator.
"""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from p2p_modelex.chain.abc import Chain
from p2p_modelex.errors import ChainError, RemoteProtocolError
from p2p_modelex.ids import Digest, format_address, parse_address
from p2p_modelex.node.charging_settings import X402Settings
from p2p_modelex.node.gateway.books import Books
from p2p_modelex.node.gateway.charging import shapes
from p2p_modelex.node.gateway.charging.journal import Journal, Name, Unanswered
from p2p_modelex.node.gateway.charging.payment import Payment, Signed, closing
from p2p_modelex.node.gateway.http import HttpRequest
from p2p_modelex.node.gateway.refusal import Refusal
from p2p_modelex.records import eip712
from p2p_modelex.records.authorization import TRANSFER, AuthorizedTransfer, compute_digest
from p2p_modelex.records.permit import NAME, compute_token_domain
from p2p_modelex.units import Epoch, Wei, format_ai, rescale

VALID_S = 600
"""How long a payment should be good."""
LEFT_S = 120
"""How long it must still be: a provider has to have begun by then."""
_BASIS = 10_000


class Owed(Refusal):
    """402, and how to pay."""

    def __init__(self, why: str, terms: shapes.Requirement, request: HttpRequest) -> None:
        super().__init__(402, "payment_required", why)
        url = f"http://{request.headers.get('host', '')}{request.path}"
        resource = shapes.Resource(url, "An answer of a language model.")
        self._offer = shapes.PaymentRequired(shapes.VERSION, why, resource, [terms])

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """The offer, beside what every refusal says."""
        return (*super().headers, (shapes.OFFER, shapes.encode(self._offer)))


class Till:
    """Prices requests and takes payments."""

    def __init__(
        self,
        chain: Chain,
        books: Books,
        charges: Callable[[], X402Settings],
        epoch: Callable[[], Epoch],
    ) -> None:
        """charges: in wei of the present split epoch, which `epoch` says."""
        self._chain = chain
        self._charges = charges
        self._epoch = epoch
        self.journal = Journal(books)
        # What is to leave its payer's account, which counts once; one for each connection at most.
        self._in_hand: dict[Name, Payment] = {}

    def price(self, model: str, most: Wei, answers: int) -> tuple[Wei, Wei]:
        """Return what so many answers cost whoever asks, and what each may cost us. most: what
        providers can want for one.
        """
        charges = self._charges()
        fixed = dict(charges.prices).get(model)
        if fixed is not None:
            # At least a wei: a payment of nothing would cost its gas all the same.
            return Wei(max(1, fixed * answers)), Wei(min(fixed, most))
        marked_up = -(-most * answers * (_BASIS + charges.markup) // _BASIS)
        return Wei(max(1, charges.least, marked_up)), most

    @asynccontextmanager
    async def take(self, request: HttpRequest, price: Wei) -> AsyncGenerator[Payment, None]:
        """Verify what a request is paid with, for the time of the block. Raises Refusal.

        A block that raises leaves a payment that was settled good for another request, unless
        whoever paid has gone.
        """
        epoch = self._epoch()
        terms = self._write_terms(price, epoch)
        text = request.headers.get(shapes.PAYMENT)
        if text is None:
            raise Owed(f"without a key an answer costs {format_ai(price)}", terms, request)
        signed = _read(shapes.decode_payment(text), terms, request)
        if signed.name in self._in_hand:
            raise Owed("the payment is in use for another request", terms, request)
        before = self.journal.find(signed.name)
        written = Epoch(before.epoch) if before else epoch
        payment = Payment(signed, written, self._chain, self.journal, before)
        self._in_hand[signed.name] = payment
        try:
            worth = Wei(rescale(signed.transfer.wei, written, epoch))
            why = (
                _compare(worth, price)
                or ("" if before else _judge_time(signed.transfer))
                or self._judge_signature(signed, written)
                or await self._look_up(signed, before)
            )
            if why:
                raise Owed(why, terms, request)
            async with closing(payment):
                yield payment
        finally:
            del self._in_hand[signed.name]

    def _write_terms(self, price: Wei, epoch: Epoch) -> shapes.Requirement:
        payee = self._charges().payee or format_address(self._chain.account)
        return shapes.Requirement(
            scheme=shapes.SCHEME,
            network=shapes.name_network(self._chain.deployment.chain_id),
            asset=format_address(self._chain.deployment.token),
            amount=str(int(price)),
            pay_to=payee,
            max_timeout_seconds=VALID_S,
            # The version of the token's domain says the split epoch (docs/contracts.md).
            extra={"name": NAME, "version": str(epoch + 1)},
        )

    def _judge_signature(self, signed: Signed, written: Epoch) -> str:
        deployment = self._chain.deployment
        domain = compute_token_domain(deployment.chain_id, deployment.token, written)
        try:
            digest = compute_digest(TRANSFER, signed.transfer, domain)
            payer = eip712.recover(digest, signed.signature)
        except RemoteProtocolError as error:
            return f"the signature is none: {error.message}"
        if payer != signed.transfer.payer:
            return f"it is not {format_address(signed.transfer.payer)} that signed the payment"
        return ""

    async def _look_up(self, signed: Signed, before: Unanswered | None) -> str:
        """Return what is wrong with a payment by the chain, empty if nothing is. Raises Refusal
        where that cannot be known.
        """
        try:
            return await self._ask_chain(signed, before)
        except ChainError as error:
            raise Refusal(503, "chain", f"the chain could not be asked: {error.message}") from error

    async def _ask_chain(self, signed: Signed, before: Unanswered | None) -> str:
        payer, nonce = signed.name
        if await self._chain.fetch_authorization_used(payer, nonce):
            return "" if before else "the payment was used or cancelled before"
        if (await self._chain.fetch_split()).is_paused:
            raise Refusal(503, "paused", "the token splits, and cannot be paid with until then")
        balance = await self._chain.fetch_balance(payer)
        # What was promised for other requests is as good as gone.
        wanted = sum(
            one.signed.transfer.wei
            for one in self._in_hand.values()
            if one.signed.transfer.payer == payer and not one.is_settled
        )
        if balance < wanted:
            held = f"{format_address(payer)} holds {format_ai(balance)}"
            return f"{held}, and {format_ai(wanted)} are to be paid"
        return ""


def _compare(worth: Wei, price: Wei) -> str:
    """Prices move, and who signed more than that has agreed to it."""
    if worth >= price:
        return ""
    return f"{format_ai(worth)} are too little: it costs {format_ai(price)} now"


def _judge_time(transfer: AuthorizedTransfer) -> str:
    now = time.time()
    if transfer.valid_after >= now:
        return "the payment is not good yet"
    if transfer.valid_before < now + LEFT_S:
        return f"the payment has expired, or does within {LEFT_S} s"
    return ""


def _read(paid: shapes.PaymentPayload, terms: shapes.Requirement, request: HttpRequest) -> Signed:
    """Return what was signed. Raises Refusal where it is no payment by these terms, whose amount
    is another matter.
    """
    accepted, fields = paid.accepted, paid.payload.authorization
    for name in ("scheme", "network", "asset", "pay_to"):
        wanted, found = getattr(terms, name), getattr(accepted, name)
        if found.lower() != wanted.lower():
            raise Owed(f"the payment's {name} is not {wanted}", terms, request)
    if fields.to.lower() != terms.pay_to:
        raise Owed(f"the payment is not to {terms.pay_to}", terms, request)
    if int(fields.value) != int(accepted.amount):
        raise Owed("the payment is not of the amount that it says it accepts", terms, request)
    transfer = AuthorizedTransfer(
        payer=parse_address(fields.from_.lower()),
        to=parse_address(fields.to.lower()),
        wei=Wei(int(fields.value)),
        valid_after=int(fields.valid_after),
        valid_before=int(fields.valid_before),
        nonce=Digest(bytes.fromhex(fields.nonce[2:])),
    )
    return Signed(transfer, bytes.fromhex(paid.payload.signature[2:]))
