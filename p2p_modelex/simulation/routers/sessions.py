"""Routers that come and go: a node's session ends for all its routers at once."""

import random
from typing import TYPE_CHECKING

import msgspec

from p2p_modelex.simulation.kernel import Kernel
from p2p_modelex.simulation.randomness import draw_time
from p2p_modelex.simulation.routers.node import FOREVER_US, Leave, Return, RouterNode

if TYPE_CHECKING:
    from p2p_modelex.simulation.routers.world import Routers


class Sessions:
    """Plans them as the director does it of whole nodes. The first router of a node speaks for all:
    they have numbers one behind the other.
    """

    def __init__(self, routers: "Routers", kernel: Kernel, rng: random.Random) -> None:
        self._routers = routers
        self._kernel = kernel
        self._rng = rng
        self._until = routers.scenario.duration - routers.scenario.settle

    def begin(self, node: RouterNode) -> None:
        """A router has joined; if it is the first of its node, a session begins."""
        population = self._routers.scenario.population[node.population]
        if population.session is None or not self._is_first(node):
            return
        ends = self._kernel.now + draw_time(self._rng, population.session, population.session_shape)
        is_over = ends < self._until
        for one in self._list_siblings(node):
            one.leaves_at = ends if is_over else FOREVER_US
        if is_over:
            self._kernel.at(ends, node, Leave())

    def receive(self, node: RouterNode, event: msgspec.Struct) -> None:
        """A node leaves, or comes again."""
        is_leaving = type(event) is Leave
        for one in self._list_siblings(node):
            one.is_away = is_leaving
            if is_leaving and one.is_up:
                self._routers.break_off(one)
            elif not is_leaving and not one.seeks:
                self._routers.join(one)
        if is_leaving:
            downtime = self._routers.scenario.population[node.population].downtime
            back = self._kernel.now + draw_time(self._rng, downtime)
            self._kernel.at(min(back, self._until), node, Return())

    def _is_first(self, node: RouterNode) -> bool:
        nodes, at = self._routers.nodes, node.number
        return not at or nodes[at - 1].place is not node.place

    def _list_siblings(self, first: RouterNode) -> list[RouterNode]:
        end = first.number + self._routers.scenario.shards.each
        nodes = self._routers.nodes[first.number : end]
        return [one for one in nodes if one.place is first.place]
