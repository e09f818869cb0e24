"""Prices that change: by a provider's costs, its rivals or its load; each is advertised anew."""

import msgspec

from p2p_modelex.simulation.kernel import Target
from p2p_modelex.simulation.nodes.life import Life
from p2p_modelex.simulation.nodes.machine import PRICE_TOKENS, Machine
from p2p_modelex.simulation.nodes.world import World
from p2p_modelex.simulation.plugin import PRICING
from p2p_modelex.simulation.scenario.quantities import Money
from p2p_modelex.simulation.scenario.settings import Engine
from p2p_modelex.simulation.scenario.tables import Pricing
from p2p_modelex.units import rescale


class Reprice(msgspec.Struct, frozen=True, gc=False):
    """A process looks at its prices."""

    node: int
    life: int


class Pricers:
    """Sets the prices of every process that has a policy."""

    def __init__(self, world: World, director: Target) -> None:
        self._world = world
        self._director = director

    def begin(self, machine: Machine) -> None:
        """A process has started: look after the first pause, at a moment of its own."""
        pricing = machine.population.pricing
        if pricing is not None:
            rng = self._world.open_stream("pricing", machine.number, machine.lives)
            self._plan(machine, int(rng.random() * pricing.every))

    def _plan(self, machine: Machine, pause_us: int) -> None:
        event = Reprice(machine.number, machine.lives)
        self._world.kernel.at(self._world.kernel.now + pause_us, self._director, event)

    def look(self, event: Reprice) -> None:
        """Set the price of now, and plan the next look."""
        machine = self._world.machines[event.node]
        life, pricing = machine.life, machine.population.pricing
        engine = machine.population.engine
        if life is None or machine.lives != event.life or pricing is None or engine is None:
            return
        price = compute_price(pricing, engine, life)
        if price != (machine.asking or engine).completion_price:
            self._world.restock(machine, life, reprice(engine, price))
        self._plan(machine, pricing.every)


def compute_price(pricing: Pricing, engine: Engine, life: Life) -> int:
    """Return what 1,000 completion tokens cost now, wei."""
    match pricing.policy:
        case "cost-plus":
            price = pricing.cost + int(pricing.cost * pricing.margin)
        case "undercut":
            cheapest = find_cheapest(life, engine.model)
            price = engine.completion_price
            if cheapest is not None:
                price = min(price, cheapest - int(cheapest * pricing.step))
        case "surge":
            load = min(1.0, len(life.core.payee.jobs) / engine.slots)
            price = engine.completion_price + int(engine.completion_price * pricing.step * load)
        case plugged:
            price = PRICING[plugged](life, engine, pricing)
    return max(pricing.cost, price)


def find_cheapest(life: Life, model: str) -> int | None:
    """Return what the cheapest other asks for 1,000 completion tokens, by the own directory, in wei
    of before all splits.
    """
    prices = [
        rescale(offer.completion_price, offer.epoch, 0) * PRICE_TOKENS
        for entry in life.core.directory.entries()
        if entry.peer != life.peer
        for offer in entry.advertisement.offers
        if offer.model == model
    ]
    return min(prices, default=None)


def reprice(engine: Engine, price: int) -> Engine:
    """Return an engine at another price; that of prompts keeps its proportion."""
    prompt = Money(engine.prompt_price * price // max(1, engine.completion_price))
    return msgspec.structs.replace(engine, prompt_price=prompt, completion_price=Money(price))
