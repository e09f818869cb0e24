"""Gossip as the validator and then the directory's machine see it."""

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as given
from p2p_modelex.core.directory import announcements
from p2p_modelex.core.directory.machine import ANNOUNCEMENTS_TOPIC
from p2p_modelex.records.advertisement import Announcement, Announcements, Change
from p2p_modelex.units import UnixMs
from tests.core.directory import worlds
from tests.fuzz import trees
from tests.fuzz.choices import Choices

_PEERS = [worlds.Key(number).peer for number in range(2, 5)]
_KEYS = [bytes(worlds.Key(number).public_key) for number in range(1, 6)]
_GOOD = trees.to_plain(
    Announcements(
        (
            Announcement(_KEYS[1], worlds.NOW, Change.NEW),
            Announcement(_KEYS[2], worlds.NOW + 1, Change.CHANGED),
        )
    )
)
_LIKE: tuple[object, ...] = (*_KEYS, 0, 1, 2, worlds.NOW + 60_000, worlds.NOW + 60_001, 2**63 - 1)
_SESSIONS_MAX = 16


def run(content: bytes) -> None:
    choices = Choices(content)
    node = worlds.Node(1)
    node.machine.start(worlds.NOW)
    now, opened = int(worlds.NOW), 0
    while choices:
        now += choices.pick((0, 1, 500, 3_000, 60_000))
        at = UnixMs(now)
        if choices.chance(64):
            timers = ("directory/fetch", "directory/expire", "directory/reconcile")
            effects = node.machine.step(given.TimerFired(fx.TimerId(choices.pick(timers))), at)
        else:
            effects = _gossip(node, choices, at)
        opened += sum(isinstance(one, fx.OpenStream) for one in effects)
        assert opened <= _SESSIONS_MAX, "fetches without a bound"
        assert len(node.directory) == 0, "an announcement is a hint, not a record"


def _gossip(node: worlds.Node, choices: Choices, now: UnixMs) -> tuple[fx.Effect, ...]:
    origin = choices.pick(_PEERS)
    match choices.below(4):
        case 0:
            payload = choices.some()
        case 1:
            payload = trees.pack(trees.draw(Announcements, choices, _KEYS))
        case _:
            plain = _GOOD
            for _ in range(choices.below(4)):
                plain = trees.bend(plain, choices, _LIKE)
            payload = trees.pack(plain)
    verdict = node.machine.judge_gossip(origin, payload, now)
    # What the validator did not accept must do no harm either, should it ever get through.
    if not verdict.accepted and choices.chance(128):
        return ()
    effects = node.machine.step(
        given.GossipArrived(ANNOUNCEMENTS_TOPIC, origin, choices.pick(_PEERS), payload), now
    )
    assert len(node.machine._pending) <= announcements.PENDING_MAX
    return effects
