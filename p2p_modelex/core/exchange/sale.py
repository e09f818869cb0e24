"""One job as its provider sees it: what was asked, on which terms, and the papers it signs."""

from dataclasses import dataclass, field, replace

import msgspec

from p2p_modelex import limits
from p2p_modelex.core.exchange import parameters, pricing
from p2p_modelex.core.exchange.output import HeldOutput
from p2p_modelex.core.exchange.terms import Seller, Ware
from p2p_modelex.errors import JobRefused, RemoteProtocolError
from p2p_modelex.ids import Address, ChannelId, Digest, JobId
from p2p_modelex.records import codec, envelope, receipt
from p2p_modelex.records.advertisement import Offer
from p2p_modelex.records.channel import ChannelTerms
from p2p_modelex.records.envelope import Envelope
from p2p_modelex.records.job import QUOTE_DOMAIN, Accept, Order, Quote, Request, features_of
from p2p_modelex.records.receipt import Finish, Receipt, SignedReceipt
from p2p_modelex.records.voucher import SignedVoucher
from p2p_modelex.units import Epoch, UnixMs, Wei

_NOTHING = Wei(0)


@dataclass(frozen=True, slots=True)
class Stake:
    """What a job has at stake: the channel that pays it, its first voucher, the wei it may come to
    owe us and to cost, both in `epoch`, and the tokens of its prompt and its longest completion.
    """

    terms: ChannelTerms
    signed: SignedVoucher
    window: Wei
    ceiling: Wei
    epoch: Epoch
    tokens: int

    @property
    def channel(self) -> ChannelId:
        """The channel that pays it."""
        return ChannelId(self.signed.voucher.channel)

    @property
    def payee(self) -> Address:
        """Whom the channel pays."""
        return Address(self.terms.payee)


@dataclass(slots=True)
class Sale:
    """A job in hand. max_cost: what the requester lets it cost, None while it only asked. base:
    what its first voucher, `signed`, covers of earlier jobs by the requester's books.
    """

    job: JobId
    request: Request
    ware: Ware
    max_cost: int | None = None
    signed: SignedVoucher | None = None
    base: Wei = _NOTHING
    quote: Quote | None = None
    quote_digest: Digest | None = None
    prompt_tokens: int = 0
    output: HeldOutput = field(init=False)

    def __post_init__(self) -> None:
        self.output = HeldOutput(self.request.max_tokens)

    @property
    def pinned(self) -> Request:
        """The request with the weights that the receipt will name: the engine may have others by
        the time it runs.
        """
        return msgspec.structs.replace(self.request, weights=self.ware.offer.weights)

    @property
    def epoch(self) -> Epoch:
        """The split epoch of the prices."""
        return Epoch(self.ware.offer.epoch)

    @property
    def window(self) -> Wei:
        """How many wei the provider works ahead of vouchers."""
        return Wei(pricing.compute_window(self.ware.offer, self.request, self.prompt_tokens))

    @property
    def ceiling(self) -> Wei:
        """The most the job can cost, in wei."""
        return Wei(pricing.compute_ceiling(self.ware.offer, self.request, self.prompt_tokens))

    def build_stake(self, terms: ChannelTerms) -> Stake:
        """Return what is at stake, once there is a voucher. terms: its channel's."""
        assert self.signed is not None
        return Stake(
            terms=terms,
            signed=self.signed,
            window=self.window,
            ceiling=self.ceiling,
            epoch=self.epoch,
            tokens=self.prompt_tokens + self.request.max_tokens,
        )

    @property
    def earned(self) -> Wei:
        """What was delivered so far is worth, in wei."""
        offer = self.ware.offer
        return Wei(
            pricing.compute_cost(
                self.prompt_tokens,
                self.output.tokens,
                prompt_price=offer.prompt_price,
                completion_price=offer.completion_price,
            )
        )

    def compute_allowance(self, paid: Wei) -> int | None:
        """Return how many more completion tokens fit the window (EXC-9); None if they are free."""
        price = self.ware.offer.completion_price
        return max(0, paid + self.window - self.earned) // price if price else None

    def validate_text(self) -> None:
        """Refuse what cannot fit the model, whatever its tokens are; JobRefused."""
        most = pricing.compute_prompt_bytes_max(self.ware.offer)
        if pricing.compute_prompt_bytes(self.request) > most:
            raise JobRefused("prompt_too_long", "EXC-6: more text than the context holds")

    def validate_size(self) -> None:
        """Refuse what does not fit the model or costs more than allowed; JobRefused."""
        if self.prompt_tokens + self.request.max_tokens > self.ware.offer.context_length:
            raise JobRefused(
                "prompt_too_long", f"{self.prompt_tokens} tokens and {self.request.max_tokens} more"
            )
        if self.max_cost is not None and self.ceiling > self.max_cost:
            raise JobRefused("over_ceiling", f"EXC-6: the job may cost {self.ceiling} wei")

    def build_quote(self, seller: Seller, now: UnixMs) -> Envelope:
        """Sign a quote and remember it."""
        offer = self.ware.offer
        self.quote = Quote(
            job=self.job,
            request=compute_request_digest(self.request),
            weights=offer.weights,
            prompt_tokens=self.prompt_tokens,
            max_tokens=self.request.max_tokens,
            prompt_price=offer.prompt_price,
            completion_price=offer.completion_price,
            epoch=offer.epoch,
            window=self.window,
            payee=seller.ownership.ownership.operator,
            valid_until=now + parameters.QUOTE_VALID_MS,
        )
        payload = codec.encode(self.quote)
        self.quote_digest = envelope.digest(payload)
        return envelope.seal(QUOTE_DOMAIN, seller.network, payload, seller.peer_signer)

    def take_accept(self, accept: Accept, now: UnixMs) -> None:
        """Bind the job to its accepted quote; RemoteProtocolError or JobRefused."""
        if self.quote is None or accept.quote != self.quote_digest:
            raise RemoteProtocolError("EXC-5", "not the quote that was given")
        if now > self.quote.valid_until:
            raise JobRefused("quote_expired", "EXC-5: ask again")
        self.signed, self.base = accept.voucher, accept.base

    def build_receipt(self, seller: Seller, finish: Finish, now: UnixMs) -> SignedReceipt:
        """Sign for what was delivered."""
        assert self.signed is not None
        made = Receipt(
            job=self.job,
            peer=seller.peer_signer.public_key,
            request=compute_request_digest(self.request),
            completion=envelope.digest(self.output.completion.encode()),
            weights=self.ware.offer.weights,
            engine=self.ware.engine,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.output.tokens,
            price=self.earned,
            epoch=self.epoch,
            channel=self.signed.voucher.channel,
            lane=self.signed.voucher.lane,
            finished_at=now,
            finish=finish,
        )
        return receipt.sign(made, seller.registry_domain, seller.receipt_signer)


def compute_request_digest(request: Request) -> Digest:
    """Return SHA-256 of the encoded request, its name in quotes and receipts."""
    return envelope.digest(codec.encode(request))


def validate_request(request: Request) -> None:
    """Raise RemoteProtocolError EXC-4 for a request that no honest requester makes."""
    if bool(request.text) == bool(request.messages):
        raise RemoteProtocolError("EXC-4", "exactly one of text and messages")
    if request.kind == "embedding" and request.logprobs:
        raise RemoteProtocolError("EXC-4", "a vector has no tokens")
    if request.tools and request.kind != "chat":
        raise RemoteProtocolError("EXC-4", "tools are a chat's")
    if not request.tools and any(one.role == "tool" for one in request.messages):
        raise RemoteProtocolError("EXC-4", "a tool's turn without tools")
    if pricing.compute_prompt_bytes(request) > limits.PROMPT_BYTES:
        raise RemoteProtocolError("EXC-4", f"a prompt has at most {limits.PROMPT_BYTES} bytes")


def find_ware(seller: Seller, request: Request) -> Ware:
    """Return what serves the request; JobRefused if nothing does (EXC-6)."""
    named = [ware for ware in seller.wares if ware.offer.model == request.model]
    any_weights = not any(request.weights)
    for ware in named:
        if any_weights or ware.offer.weights == request.weights:
            if request.kind not in ware.offer.kinds:
                raise JobRefused("unsupported", f"EXC-6: {request.kind} is not offered")
            if request.max_tokens > ware.offer.max_tokens:
                raise JobRefused("unsupported", f"EXC-6: at most {ware.offer.max_tokens} tokens")
            for feature in features_of(request):
                if feature not in ware.offer.features:
                    raise JobRefused("unsupported", f"EXC-6: {feature} is not offered")
            return ware
    raise JobRefused("unknown_model", "EXC-6: other weights" if named else "EXC-6: not sold here")


def is_ahead(seller: Seller, order: Order) -> bool:
    """Whether the order is in a later split epoch than our prices."""
    return order.voucher.voucher.epoch > find_ware(seller, order.request).offer.epoch


def build_sale(seller: Seller, order: Order, now: UnixMs) -> Sale:
    """Return the sale of a fast order, at the prices that it names; JobRefused if they are under
    the advertised ones.
    """
    ware = find_ware(seller, order.request)
    offer = ware.offer
    if order.voucher.voucher.epoch != offer.epoch:
        raise JobRefused("wrong_epoch", f"EXC-6: prices are in split epoch {offer.epoch}")
    former = (one for held in seller.former if now <= held.until for one in held.wares)
    if not any(_serves(one.offer, offer, order) for one in (ware, *former)):
        raise JobRefused("price_changed", "EXC-6: read the newest advertisement")
    agreed = msgspec.structs.replace(
        offer, prompt_price=order.prompt_price, completion_price=order.completion_price
    )
    ware = replace(ware, offer=agreed)
    return Sale(JobId(order.job), order.request, ware, order.max_cost, order.voucher, order.base)


def _serves(advertised: Offer, offer: Offer, order: Order) -> bool:
    """Whether what was advertised is this offer, at prices that the order reaches."""
    return (
        (advertised.model, advertised.weights, advertised.epoch)
        == (offer.model, offer.weights, offer.epoch)
        and advertised.prompt_price <= order.prompt_price
        and advertised.completion_price <= order.completion_price
    )
