"""What providers' machines did, and what members of farms told each other."""

from collections import Counter
from collections.abc import Mapping

from p2p_modelex.core import effects as fx
from p2p_modelex.core.members.parameters import MEMBERS_PROTOCOL
from p2p_modelex.simulation.actors.behaviours.base import tag_of
from p2p_modelex.simulation.nodes.life import Life
from p2p_modelex.simulation.nodes.world import World

_MEMBERS: Mapping[int, str] = {1: "told", 2: "asked", 3: "lent"}
"""Tags of records/members.py: what was served, asked for, and given of a deposit."""


class Providers:
    """Counts while a world runs."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._members: Counter[str] = Counter()

    def on_sent(self, life: Life, effect: fx.Send) -> None:
        """A frame leaves; those among members of farms are counted."""
        name = _MEMBERS.get(tag_of(effect.payload))  # a liar's may have none
        if name is not None and life.speaks(effect.stream, MEMBERS_PROTOCOL):
            self._members[name] += 1

    def summarise(self) -> dict[str, float]:
        """Return measures by name. engines_alike: Jain's index, 1 if all made as much.

        engines_busy: of the time since they came. cached_share: of the prompts of answers.
        """
        machines = [one for one in self._world.machines if one.population.engines]
        made = [machine.tally.tokens for machine in machines]
        if not any(made):
            return {}
        tallies = [machine.tally for machine in machines]
        reads = sum(one.prompt_tokens for one in tallies)
        cached = sum(one.cached_tokens for one in tallies)
        up_us = sum(self._world.kernel.now - machine.population.starts for machine in machines)
        found: dict[str, float] = {
            "engines_alike": sum(made) ** 2 / (len(made) * sum(one**2 for one in made)),
            "engines_busy": sum(one.busy_us for one in tallies) / up_us,
            "engine_tokens": sum(made),
            "engine_loads": sum(one.loads for one in tallies),
            "cached_share": cached / (cached + reads),
            "preempted": sum(one.preempted for one in tallies),
        }
        return found | {f"members_{name}": count for name, count in sorted(self._members.items())}
