"""What a requester believes of what a provider tells it: quote, start, chunks, receipt."""

from itertools import pairwise

from p2p_modelex import limits
from p2p_modelex.core.exchange import parameters, pricing
from p2p_modelex.core.exchange.sale import compute_request_digest
from p2p_modelex.core.exchange.terms import Purchase
from p2p_modelex.core.exchange.verification import verify_receipt
from p2p_modelex.errors import JobRefused, RemoteProtocolError, VerificationFailed
from p2p_modelex.ids import ChannelId, Digest, PeerId, public_key_of
from p2p_modelex.records import codec, envelope
from p2p_modelex.records.embedding import decode_vector
from p2p_modelex.records.job import QUOTE_DOMAIN, Chunk, Finished, Quote, Quoted, Started
from p2p_modelex.records.receipt import Finish
from p2p_modelex.records.tools import CallReader
from p2p_modelex.units import UnixMs, Wei, format_ai


class Intake:
    """The provider's claims about one job, each checked before it is believed."""

    def __init__(self, peer: PeerId, purchase: Purchase, channel: ChannelId, lane: int) -> None:
        self._peer = peer
        self._purchase = purchase
        self._channel = channel
        self._lane = lane
        self._quote: Quote | None = None
        self._prompt_tokens = 0
        self._tokens = 0
        self._chunks = 0
        self._texts: list[str] = []
        self._text_bytes = 0
        self._told = 0
        self._calls = CallReader() if purchase.request.tools else None
        self.window = 0
        """How many wei we let the provider work ahead of vouchers; 0 until the job started."""

    @property
    def tokens(self) -> int:
        """How many tokens of completion came."""
        return self._tokens

    @property
    def owed(self) -> Wei:
        """What the provider has earned by what we received."""
        return Wei(self._compute_cost(self._prompt_tokens, self._tokens))

    @property
    def may_order_fast(self) -> bool:
        """Whether no plausible prompt count could bring the window over our limit."""
        purchase = self._purchase
        return purchase.is_fast and self._compute_window_max() <= purchase.max_window

    def _compute_window_max(self) -> int:
        purchase = self._purchase
        most = pricing.compute_prompt_tokens_max(purchase.request)
        return pricing.compute_window(purchase.offer, purchase.request, most)

    def _compute_cost(self, prompt_tokens: int, tokens: int) -> int:
        offer = self._quote or self._purchase.offer
        return pricing.compute_cost(
            prompt_tokens,
            tokens,
            prompt_price=offer.prompt_price,
            completion_price=offer.completion_price,
        )

    def compute_doubt(self, paid: Wei) -> Wei:
        """Return the most the job may come to cost while we have paid that much."""
        window = self.window or min(self._compute_window_max(), self._purchase.max_window)
        return Wei(min(paid + window, self._purchase.max_cost))

    def explain_over_limit(self) -> str:
        """Say why the advertised terms are over our limits, or nothing."""
        purchase = self._purchase
        window = pricing.compute_window(purchase.offer, purchase.request, 0)
        cost = pricing.compute_ceiling(purchase.offer, purchase.request, 0)
        return self._explain(window, cost)

    def explain_quote_over_limit(self) -> str:
        """Say why the quote is over our limits, or nothing."""
        quote = self._quote
        assert quote is not None
        cost = self._compute_cost(quote.prompt_tokens, quote.max_tokens)
        return self._explain(self._limit_window(quote.window, quote.prompt_tokens), cost)

    def _limit_window(self, window: int, prompt_tokens: int) -> int:
        """Return as much of a window as was advertised: the credit may have been raised since."""
        purchase = self._purchase
        return min(window, pricing.compute_window(purchase.offer, purchase.request, prompt_tokens))

    def _explain(self, window: int, cost: int) -> str:
        purchase = self._purchase
        if window > purchase.max_window:
            most = format_ai(purchase.max_window)
            return f"the provider works {format_ai(window)} ahead, our limit is {most}"
        if cost > purchase.max_cost:
            most = format_ai(purchase.max_cost)
            return f"the job may cost {format_ai(cost)}, our limit is {most}"
        return ""

    def take_quote(self, quoted: Quoted, now: UnixMs) -> Digest:
        """Check a quote and return its name; RemoteProtocolError EXC-5.

        JobRefused `wrong_epoch` if one of us has not yet seen a split that the other has,
        `price_changed` if it asks more than our advertisement says, which may have been replaced
        since, and `quote_expired` where it came too late.
        """
        purchase, offer = self._purchase, self._purchase.offer
        if quoted.quote.signer != public_key_of(self._peer):
            raise RemoteProtocolError("EXC-5", "the quote is signed by another peer")
        envelope.verify(quoted.quote, QUOTE_DOMAIN, purchase.network)
        quote: Quote = codec.decode(Quote, quoted.quote.payload, limit=parameters.QUOTE_BYTES)
        self._check_prompt_tokens(quote.prompt_tokens)
        if quote.epoch != offer.epoch:
            raise JobRefused("wrong_epoch", f"EXC-5: the quote is in split epoch {quote.epoch}")
        checks = {
            "job": quote.job == purchase.job,
            "request": quote.request == compute_request_digest(purchase.request),
            "weights": quote.weights == offer.weights,
            "max_tokens": quote.max_tokens == purchase.request.max_tokens,
            "payee": quote.payee == purchase.ownership.ownership.operator,
        }
        for name, is_good in checks.items():
            if not is_good:
                raise RemoteProtocolError("EXC-5", f"the quote's {name} is not what was agreed")
        prompt, completion = quote.prompt_price, quote.completion_price
        if prompt > offer.prompt_price or completion > offer.completion_price:
            raise JobRefused("price_changed", "EXC-5: it asks more than was advertised")
        if quote.valid_until < now:  # a link or a clock may be slow: nobody is to blame
            raise JobRefused("quote_expired", "EXC-5: the quote came too late")
        self._quote = quote
        return envelope.digest(quoted.quote.payload)

    def _check_prompt_tokens(self, prompt_tokens: int) -> None:
        most = pricing.compute_prompt_tokens_max(self._purchase.request)
        if prompt_tokens > most:
            raise RemoteProtocolError("EXC-17", f"{prompt_tokens} prompt tokens, at most {most}")

    def take_started(self, started: Started) -> None:
        """Check what the prompt is said to cost; RemoteProtocolError EXC-17."""
        purchase = self._purchase
        self._check_prompt_tokens(started.prompt_tokens)
        if self._quote is not None and started.prompt_tokens != self._quote.prompt_tokens:
            raise RemoteProtocolError("EXC-17", "not the prompt tokens of the quote")
        if self._quote is not None and started.window > self._quote.window:
            raise RemoteProtocolError("EXC-17", "a wider window than the quote's")
        cost = self._compute_cost(started.prompt_tokens, purchase.request.max_tokens)
        if cost > purchase.max_cost:
            raise RemoteProtocolError("EXC-6", "the job may cost more than was allowed")
        self._prompt_tokens = started.prompt_tokens
        self.window = self._limit_window(started.window, started.prompt_tokens)

    def take_chunk(self, chunk: Chunk) -> None:
        """Check a piece of output; RemoteProtocolError EXC-10 or EXC-11."""
        if chunk.index != self._chunks:
            raise RemoteProtocolError("EXC-10", f"chunk {chunk.index}, expected {self._chunks}")
        if chunk.tokens < self._tokens or chunk.tokens > self._purchase.request.max_tokens:
            raise RemoteProtocolError("EXC-11", f"{chunk.tokens} tokens after {self._tokens}")
        if not chunk.text and chunk.tokens == self._tokens:
            raise RemoteProtocolError("EXC-10", "an empty chunk")
        if chunk.index > chunk.tokens + parameters.CHUNKS_SLACK:
            raise RemoteProtocolError("EXC-10", f"{chunk.index} chunks for {chunk.tokens} tokens")
        size = self._text_bytes + len(chunk.text.encode())
        if size > pricing.compute_completion_bytes_max(chunk.tokens):
            raise RemoteProtocolError("EXC-11", f"{size} bytes for {chunk.tokens} tokens")
        if chunk.tokens > size + parameters.TOKENS_SLACK:
            raise RemoteProtocolError("EXC-11", f"{chunk.tokens} tokens for {size} bytes")
        self._check_logprobs(chunk)
        if self._calls is not None:
            self._check_calls(self._calls, chunk)
        self._chunks += 1
        self._tokens, self._text_bytes = chunk.tokens, size
        self._texts.append(chunk.text)

    def _check_logprobs(self, chunk: Chunk) -> None:
        """EXC-21: as many as were asked for, of no more tokens than there are and of enough."""
        wanted = self._purchase.request.logprobs
        self._told += len(chunk.logprobs)
        least = (chunk.tokens - parameters.TOKENS_SLACK) / parameters.TOKENS_PER_CHARACTER
        if self._calls is not None:
            least = 0  # engines do not tell of the tokens that make a call
        if not (least <= self._told <= chunk.tokens if wanted else not self._told):
            raise RemoteProtocolError("EXC-21", f"logprobs of {self._told}/{chunk.tokens} tokens")
        for one in chunk.logprobs:
            if len(one.top) >= wanted:
                raise RemoteProtocolError("EXC-21", f"{len(one.top)} alternatives are too many")
            if any(a.surprisal > b.surprisal for a, b in pairwise(one.top)):
                raise RemoteProtocolError("EXC-21", "the likeliest comes first")

    def _is_finish(self, finish: Finish) -> bool:
        """EXC-16, EXC-22: not cancelled, and for calls if there are any, unless it was cut."""
        calls = self._calls
        if calls is None:
            return finish in (Finish.STOP, Finish.LENGTH)
        own = Finish.TOOL_CALLS if calls.calls else Finish.STOP
        return calls.is_whole and finish in (own, Finish.LENGTH)

    def _check_calls(self, calls: CallReader, chunk: Chunk) -> None:
        for part in calls.feed(chunk.text):
            if part.head is not None and not part.head.name:
                raise RemoteProtocolError("EXC-22", "a call of nothing")

    def take_receipt(self, finished: Finished, now: UnixMs, *, is_cancelled: bool) -> str:
        """Check the receipt and return the whole completion; RemoteProtocolError EXC-16."""
        purchase, made = self._purchase, finished.receipt.receipt
        completion = "".join(self._texts)
        checks = {
            "job": made.job == purchase.job,
            "peer": made.peer == public_key_of(self._peer),
            "weights": made.weights == purchase.offer.weights,
            "prompt_tokens": made.prompt_tokens == self._prompt_tokens,
            "completion_tokens": made.completion_tokens == self._tokens,
            "price": made.price == self.owed,
            "epoch": made.epoch == purchase.offer.epoch,
            "channel": made.channel == self._channel,
            "lane": made.lane == self._lane,
            "finished_at": made.finished_at <= now + limits.CLOCK_SKEW_MS,
            "cached": finished.cached <= self._prompt_tokens,
            "finish": is_cancelled or self._is_finish(made.finish),
        }
        for name, is_good in checks.items():
            if not is_good:
                raise RemoteProtocolError("EXC-16", f"the receipt's {name} is wrong")
        if purchase.request.kind == "embedding" and not is_cancelled:
            if self._tokens:
                raise RemoteProtocolError("EXC-20", f"{self._tokens} tokens of a vector")
            decode_vector(completion)
        is_telling = purchase.request.logprobs and self._calls is None
        if is_telling and completion and not self._told:
            raise RemoteProtocolError("EXC-21", "no logprobs came")
        try:
            verify_receipt(
                finished.receipt,
                purchase.request,
                completion,
                purchase.ownership,
                purchase.registry_domain,
            )
        except VerificationFailed as error:
            raise RemoteProtocolError("EXC-16", error.message) from error
        return completion
