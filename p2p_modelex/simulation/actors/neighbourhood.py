"""Whom nodes dial so as not to be alone: as net/libp2p and node/joining.py do it, or at random."""

import random

import msgspec

from p2p_modelex.simulation.kernel import Target
from p2p_modelex.simulation.nodes.life import Life
from p2p_modelex.simulation.nodes.machine import Machine
from p2p_modelex.simulation.nodes.world import World

PAUSE_US = 1_000_000
"""Between two looks; it doubles up to PAUSE_MAX_US while a bootstrap peer is missing."""
PAUSE_MAX_US = 60_000_000
KNOWN_PEERS_MAX = 8
"""Peers of its own directory that a node dials which nobody has met after GRACE_US."""
GRACE_US = 1_000_000
DRAWS_MAX = 8
"""Machines looked at for each neighbour that is missing, where they are drawn at random."""


class Keep(msgspec.Struct, frozen=True, gc=False):
    """A process looks after its neighbours; `pause_us` to the next look."""

    node: int
    life: int
    pause_us: int


class Neighbourhood:
    """Looks after the connections of every process."""

    def __init__(self, world: World, director: Target) -> None:
        self._world = world
        self._director = director
        self._streams: dict[int, random.Random] = {}
        self._bootstraps = [m for m in world.machines if m.population.role == "bootstrap"]

    def begin(self, machine: Machine) -> None:
        """A process has started: dial now, and again and again."""
        now = self._world.kernel.now
        keep = Keep(machine.number, machine.lives, PAUSE_US)
        self._world.kernel.at(now, self._director, keep)

    def keep(self, event: Keep) -> None:
        """Dial who is missing, and plan the next look."""
        machine = self._world.machines[event.node]
        life = machine.life
        if life is None or machine.lives != event.life:
            return
        pause = event.pause_us
        if len(life.wires.connections) < machine.population.neighbours:
            if machine.population.finds == "random":
                self._dial_some(machine, life)
            else:
                self._dial_bootstraps(machine, life)
        if not life.wires.connections and pause > GRACE_US:
            self._dial_known(machine, life)
        connected = life.wires.connections
        if all(other.peer in connected for other in self._bootstraps if other is not machine):
            pause = PAUSE_US
        following = Keep(event.node, event.life, min(2 * pause, PAUSE_MAX_US))
        self._world.kernel.at(self._world.kernel.now + pause, self._director, following)

    def _stream(self, machine: Machine) -> random.Random:
        names = ("keeper", machine.number)
        return self._streams.setdefault(machine.number, self._world.open_stream(*names))

    def _dial(self, life: Life, other: Machine) -> None:
        life.wires.dial(other.peer, (other.address,), self._world.kernel.now)

    def _dial_bootstraps(self, machine: Machine, life: Life) -> None:
        for other in self._bootstraps:
            if other is not machine:
                self._dial(life, other)

    def _dial_known(self, machine: Machine, life: Life) -> None:
        """Join by memory, where no bootstrap peer answers."""
        known = [one for one in life.core.directory.entries() if one.peer != machine.peer]
        known = [one for one in known if one.advertisement.addresses]
        for entry in self._stream(machine).sample(known, min(KNOWN_PEERS_MAX, len(known))):
            addresses = tuple(entry.advertisement.addresses)
            life.wires.dial(entry.peer, addresses, self._world.kernel.now)

    def _dial_some(self, machine: Machine, life: Life) -> None:
        wanted = machine.population.neighbours - len(life.wires.connections)
        alive, rng = list(self._world.alive), self._stream(machine)
        for _ in range(DRAWS_MAX * wanted):
            other = self._world.machines[rng.choice(alive)]
            is_new = other is not machine and other.peer not in life.wires.connections
            if is_new and other.advertises and not other.place.is_hidden and wanted > 0:
                self._dial(life, other)
                wanted -= 1
