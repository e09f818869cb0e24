"""What the mesh offers, as /v1/models shows it."""

import difflib
from collections.abc import Iterable, Sequence

import trio

from p2p_modelex.core.directory.entry import Entry
from p2p_modelex.core.exchange.pricing import compute_cost, compute_prompt_tokens_max
from p2p_modelex.core.routing.filters import NAMES_SHOWN
from p2p_modelex.limits import NAME_BYTES
from p2p_modelex.node.exchange import Exchange
from p2p_modelex.node.gateway.refusal import Refusal
from p2p_modelex.node.gateway.replies import Model, ModelexModel, ModelList, PriceRange
from p2p_modelex.node.options import PRICE_TOKENS
from p2p_modelex.records.advertisement import Offer, move_offer
from p2p_modelex.records.family import family_of, split_model
from p2p_modelex.records.job import Request
from p2p_modelex.units import Epoch, Wei, format_ai

FRESH_S = 1.0
"""A list is made at most this often: it takes milliseconds for thousands of peers."""
WEIGHTS_MAX = 16
"""Digests shown of one model."""

_Found = dict[str, list[tuple[Entry, Offer]]]


class Shelf:
    """The models of everybody known."""

    def __init__(self, exchange: Exchange) -> None:
        """exchange: says who sells what, and from whom we would buy."""
        self._exchange = exchange
        self._models: dict[str, Model] = {}
        self._dearest: dict[str, tuple[int, int]] = {}
        self._made_at = -FRESH_S

    def list_models(self) -> ModelList:
        """Return them all, ordered by name."""
        return ModelList(list(self._refresh().values()))

    def find(self, name: str) -> Model | None:
        """Return one, None if nobody has it."""
        return self._refresh().get(name)

    def get_model(self, name: str) -> Model:
        """Return one. Raises Refusal, naming the nearest, if nobody has it."""
        model = self.find(name)
        if model is None:
            near = difflib.get_close_matches(name[:NAME_BYTES], self._models, NAMES_SHOWN)
            message = f"nobody offers {name[:NAME_BYTES]}"
            message += f"; nearest: {', '.join(near)}" if near else ""
            raise Refusal(404, "model_not_found", message, param="model")
        return model

    def find_named(self, name: str) -> list[str]:
        """Return the models that a request's name stands for: one, or those of a family."""
        self._refresh()
        model, family = split_model(self._exchange.resolve(name))
        if model is not None:
            return [model] if model in self._dearest else []
        return [one for one in self._dearest if family_of(one) == family]

    def compute_most(self, request: Request, unknown: Wei) -> int:
        """Return the most wei that a job can cost at anybody we would buy it from, or at our own
        prices; `unknown` where nobody is known yet.
        """
        prices = [self._dearest[name] for name in self.find_named(request.model)]
        prompt_tokens = compute_prompt_tokens_max(request)
        costs = (
            compute_cost(
                prompt_tokens,
                request.max_tokens,
                prompt_price=prompt_price,
                completion_price=completion_price,
            )
            for prompt_price, completion_price in prices
        )
        return max(costs, default=unknown)

    def _refresh(self) -> dict[str, Model]:
        now = trio.current_time()
        if now - self._made_at >= FRESH_S:
            found = _gather(self._exchange.nodes(), self._exchange.node.epoch)
            self._made_at = now
            self._models = {name: _build_model(name, found[name]) for name in sorted(found)}
            self._dearest = self._find_dearest(found)
        return self._models

    def _find_dearest(self, found: _Found) -> dict[str, tuple[int, int]]:
        """The highest price of a prompt's and a completion's token, by model."""
        spending, node = self._exchange.spending, self._exchange.node
        most = spending.max_prompt_price, spending.max_completion_price
        prices = {
            name: [
                (offer.prompt_price, offer.completion_price)
                for _, offer in offers
                if offer.prompt_price <= most[0] and offer.completion_price <= most[1]
            ]
            for name, offers in found.items()
        }
        for own in (move_offer(offer, node.epoch) for offer in node.offers):
            prices.setdefault(own.model, []).append((own.prompt_price, own.completion_price))
        return {
            name: (
                max((prompt for prompt, _ in pairs), default=0),
                max((completion for _, completion in pairs), default=0),
            )
            for name, pairs in prices.items()
        }


def _gather(entries: Iterable[Entry], epoch: Epoch) -> _Found:
    """Return who offers each model, at prices of the token's present split epoch."""
    found: _Found = {}
    for entry in entries:
        for offer in entry.advertisement.offers:
            found.setdefault(offer.model, []).append((entry, move_offer(offer, epoch)))
    return found


def _build_model(name: str, found: Sequence[tuple[Entry, Offer]]) -> Model:
    offers = [offer for _, offer in found]
    described = ModelexModel(
        providers=len({entry.peer for entry, _ in found}),
        kinds=sorted({kind for offer in offers for kind in offer.kinds}),
        features=sorted({feature for offer in offers for feature in offer.features}),
        context_length=max(offer.context_length for offer in offers),
        max_tokens=max(offer.max_tokens for offer in offers),
        prompt_price=_range([offer.prompt_price for offer in offers]),
        completion_price=_range([offer.completion_price for offer in offers]),
        weights=sorted({offer.weights.hex() for offer in offers})[:WEIGHTS_MAX],
    )
    return Model(name, max(entry.advertisement.sequence for entry, _ in found) // 1000, described)


def _range(prices: Sequence[Wei]) -> PriceRange:
    return PriceRange(_show(min(prices)), _show(max(prices)))


def _show(price: int) -> str:
    return format_ai(price * PRICE_TOKENS).removesuffix(" AI")
