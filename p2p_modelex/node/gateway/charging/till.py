"""The till: what a request costs who has no key, and taking the payment by x402.

Verified before anything is begun, brought to the chain when the first piece of the answer is
there, and only then is anything given away: who pays has a provider at work, who sells has the
money. The node is its own facilitator.
"""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from p2p_modelex.chain.abc import Chain
from p2p_modelex.errors import ChainError
from p2p_modelex.ids import format_address
from p2p_modelex.node.charging_settings import X402Settings
from p2p_modelex.node.gateway.books import Books
from p2p_modelex.node.gateway.charging import shapes
from p2p_modelex.node.gateway.charging.journal import Journal, Name
from p2p_modelex.node.gateway.charging.payment import Payment, Signed, closing
from p2p_modelex.node.gateway.charging.verifying import (
    Unpaid,
    read_payment,
    validate_amount,
    validate_signature,
    validate_times,
)
from p2p_modelex.node.gateway.heads import HttpRequest
from p2p_modelex.node.gateway.refusal import Refusal
from p2p_modelex.records.permit import NAME, compute_token_domain
from p2p_modelex.units import Epoch, Wei, format_ai

VALID_S = 600
"""How long a payment should be good."""
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


@dataclass(frozen=True, slots=True)
class Price:
    """What a request's answers cost together. asked: the most that they can. least: what is taken,
    for which only cheaper providers are asked; so prices that move meanwhile do no harm.
    """

    asked: Wei
    least: Wei
    markup: int
    answers: int

    def compute_ceiling(self, worth: Wei) -> Wei:
        """Return what each answer may cost us for a payment of so much."""
        return Wei(worth * _BASIS // (_BASIS + self.markup) // self.answers)


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

    def price(self, model: str, most: Wei, answers: int, *, is_own: bool) -> Price:
        """Return what so many answers cost. most: what providers can want for one. is_own: this
        node is one of them, which asks itself first and is told no ceiling.
        """
        charges = self._charges()
        fixed = dict(charges.prices).get(model)
        if fixed is not None:
            # At least a wei: a payment of nothing would cost its gas all the same.
            asked = Wei(max(1, fixed * answers))
            return Price(asked, asked, 0, answers)
        least = Wei(max(1, charges.least))
        marked_up = -(-most * answers * (_BASIS + charges.markup) // _BASIS)
        asked = Wei(max(least, marked_up))
        return Price(asked, asked if is_own else least, charges.markup, answers)

    @asynccontextmanager
    async def take(
        self, request: HttpRequest, price: Price, *, is_timed: bool
    ) -> AsyncGenerator[Payment, None]:
        """Verify what a request is paid with, for the time of the block. is_timed: whether it says
        how long it may take. Raises Refusal.

        A block that raises leaves a payment that was settled good for another request, unless
        whoever paid has gone, or its time is up.
        """
        epoch = self._epoch()
        terms = self._write_terms(price.asked, epoch)
        text = request.headers.get(shapes.PAYMENT)
        try:
            if text is None:
                raise Unpaid(f"without a key this costs {format_ai(price.asked)}")
            signed = read_payment(text, terms)
            payment = self._hold(signed, epoch)
        except Unpaid as why:
            raise Owed(str(why), terms, request) from why
        try:
            try:
                await self._verify(payment, price.least, epoch)
            except Unpaid as why:
                raise Owed(str(why), terms, request) from why
            async with closing(payment, is_timed=is_timed):
                yield payment
        finally:
            del self._in_hand[signed.name]

    def _hold(self, signed: Signed, epoch: Epoch) -> Payment:
        """Raises Unpaid if it is held for another request."""
        if signed.name in self._in_hand:
            raise Unpaid("the payment is in use for another request")
        before = self.journal.find(signed.name)
        written = Epoch(before.epoch) if before else epoch
        payment = Payment(signed, written, self._chain, self.journal, before)
        self._in_hand[signed.name] = payment
        return payment

    async def _verify(self, payment: Payment, least: Wei, epoch: Epoch) -> None:
        """Raises Unpaid, and Refusal where the chain does not say."""
        signed = payment.signed
        validate_amount(payment.compute_worth(epoch), least)
        if not payment.is_known:
            validate_times(signed.transfer, time.time())
        deployment = self._chain.deployment
        domain = compute_token_domain(deployment.chain_id, deployment.token, payment.epoch)
        validate_signature(signed, domain)
        try:
            await self._ask_chain(payment)
        except ChainError as error:
            raise Refusal(503, "chain", f"the chain could not be asked: {error.message}") from error

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

    async def _ask_chain(self, payment: Payment) -> None:
        payer, nonce = payment.name
        if await self._chain.fetch_authorization_used(payer, nonce):
            if not payment.is_known:
                raise Unpaid("the payment was used or cancelled before")
            return
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
            raise Unpaid(f"{held}, and {format_ai(wanted)} are to be paid")
