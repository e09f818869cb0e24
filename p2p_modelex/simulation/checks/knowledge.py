"""That honest nodes know each other once a world has settled, unless liars keep them apart."""

from collections.abc import Mapping

from p2p_modelex.errors import SimulationError
from p2p_modelex.ids import PeerId
from p2p_modelex.simulation.nodes.life import START_MS, Life
from p2p_modelex.simulation.nodes.world import World

PAIRS_MAX = 2_000_000
"""Pairs of a node and an advertiser that are looked at in the end."""


def check_directories(world: World, until_ms: int) -> None:
    """Whoever is honest and was up at a time (unix ms) knows what every other such node had said by
    then. SimulationError if not.

    Of those whom only liars connect nothing is asked: a liar that tells nobody of anybody keeps who
    has no other neighbour in the dark. Who nothing connects at all should have found together.
    """
    lives = {life.peer: life for one in world.alive.values() if (life := one.life) is not None}
    honest = {peer: life for peer, life in lives.items() if world.by_peer[peer].is_honest}
    up = [life for peer, life in honest.items() if _joined_ms(world, peer) < until_ms]
    said: dict[PeerId, int] = {}
    for life in up:
        own = life.core.directory.get(life.peer)
        if own is not None and own.advertisement.sequence < until_ms:
            said[life.peer] = own.advertisement.sequence
    among_all, among_honest = _find_parts(lives), _find_parts(honest)
    most = max(1, PAIRS_MAX // max(1, len(said)))
    for life in world.open_stream("final").sample(up, most) if len(up) > most else up:
        for peer, sequence in said.items():
            is_near = among_honest[peer] == among_honest[life.peer]
            is_apart = among_all[peer] != among_all[life.peer]
            if (is_near or is_apart) and not _knows(life, peer, sequence):
                other, at = world.by_peer[peer].number, (sequence - START_MS) / 1000
                # Another failure than the slowness of those who are connected.
                why = ": nothing connects them" if is_apart else ""
                raise SimulationError(
                    f"node {life.number} does not know what node {other} said at {at:.3f} s{why}"
                )


def _joined_ms(world: World, peer: PeerId) -> int:
    return START_MS + world.by_peer[peer].joined_us // 1000


def _find_parts(lives: Mapping[PeerId, Life]) -> dict[PeerId, int]:
    """Number the parts of a network: the nodes that connections among `lives` lead between."""
    parts: dict[PeerId, int] = {}
    for number, first in enumerate(lives):
        reached = [] if first in parts else [first]
        while reached:
            peer = reached.pop()
            if peer in lives and peer not in parts:
                parts[peer] = number
                reached += lives[peer].wires.connections
    return parts


def _knows(life: Life, peer: PeerId, sequence: int) -> bool:
    held = life.core.directory.get(peer)
    return held is not None and held.advertisement.sequence >= sequence
