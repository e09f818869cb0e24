"""The network of a run at its end, as far as a map can show it."""

import msgspec

from p2p_modelex.simulation.nodes.world import World

NODES_MAX = 5_000
"""Nodes of a map; of more, the first."""
LINKS_MAX = 20_000


class Placed(msgspec.Struct, frozen=True):
    """A node: where it is and what it is."""

    number: int
    region: str
    population: str
    is_up: bool


class Network(msgspec.Struct, frozen=True):
    """Nodes, and the connections between them by their numbers."""

    nodes: tuple[Placed, ...] = ()
    links: tuple[tuple[int, int], ...] = ()


def draw_network(world: World) -> Network:
    """Return the network as it is now."""
    shown = world.machines[:NODES_MAX]
    nodes = tuple(
        Placed(one.number, one.place.region, one.population.name, one.life is not None)
        for one in shown
    )
    links: dict[tuple[int, int], None] = {}
    for machine in shown:
        if machine.life is None:
            continue
        for peer in machine.life.wires.connections:
            ends = sorted((machine.number, world.by_peer[peer].number))
            if ends[1] < len(nodes) and len(links) < LINKS_MAX:
                links[ends[0], ends[1]] = None
    return Network(nodes, tuple(links))
