"""What a request may cost and how long answers may be, by the configuration and by the mesh."""

from p2p_modelex.node.exchange import Exchange
from p2p_modelex.node.gateway.asking import Asked
from p2p_modelex.node.gateway.shelf import Shelf
from p2p_modelex.units import Wei


class Bounds:
    """Who may ask is not who says what the node's owner risks: a request can only lower it."""

    def __init__(self, exchange: Exchange, shelf: Shelf, max_tokens: int) -> None:
        """max_tokens: of an answer, where a request does not say."""
        self._exchange = exchange
        self._shelf = shelf
        self._max_tokens = max_tokens

    def find_ceiling(self, asked: Asked) -> Wei:
        """Return the most that each of a request's jobs may cost."""
        most, wanted = self._exchange.spending.max_cost, asked.terms.max_cost
        return most if wanted is None else min(wanted, most)

    def find_most(self, asked: Asked) -> Wei:
        """Return the most that one of a request's jobs can cost."""
        ceiling = self.find_ceiling(asked)
        dearest = max(self._shelf.compute_most(one, ceiling) for one in asked.requests)
        return Wei(min(ceiling, dearest))

    def find_room(self, model: str) -> int:
        """Return as many tokens as the configuration says, and no more than somebody generates."""
        most, model = self._max_tokens, self._exchange.resolve(model)
        engine = self._exchange.node.parts.engines.get(model)
        if engine is not None:
            return max(1, min(most, engine.info.context_length // 2))
        offered = self._shelf.find(model)
        if offered is None:
            return most  # nobody has it, which the router says better
        fits = offered.modelex.context_length // 2
        return max(1, min(most, offered.modelex.max_tokens, fits))
