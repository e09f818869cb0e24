"""The asking end of a reconciliation against a responder that says anything, honest in parts.

It ends within its rounds, opens no more ranges and remembers no more keys than its bounds, and
keeps only verified records.
"""

from p2p_modelex import limits
from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as given
from p2p_modelex.core.directory import comparison
from p2p_modelex.core.directory.initiator import Plan, ReconcileInitiator
from p2p_modelex.core.directory.responder import ReconcileResponder
from p2p_modelex.records import codec
from p2p_modelex.records.reconciliation import InitiatorMessage, ResponderMessage
from p2p_modelex.units import UnixMs
from tests.core.directory import worlds
from tests.fuzz import trees
from tests.fuzz.choices import Choices
from tests.fuzz.targets.reconcile_responder import KEYS, LIKE, RECORDS, STREAM, check, fill

# Compare until the rounds are over, then fetch and offer what a hostile responder named.
_FRAMES_MAX = limits.RECONCILE_ROUNDS_MAX + 200


def run(content: bytes) -> None:
    choices = Choices(content)
    directory, theirs = fill(choices), fill(choices)
    keys = tuple(bytes(key.public_key) for key in KEYS[:3])
    plan = choices.pick((Plan(), Plan(compares=False, fetch=keys, offer=keys)))
    initiator = ReconcileInitiator(directory, STREAM, KEYS[0].peer, plan)
    honest = ReconcileResponder(theirs, STREAM, worlds.Key(1).peer, worlds.no_limit)
    now = int(worlds.NOW)
    effects = initiator.step(given.StreamReady(STREAM), UnixMs(now))
    for _ in range(_FRAMES_MAX):
        check(directory, effects)
        asked = [one.payload for one in effects if isinstance(one, fx.Send)]
        assert len(asked) == (initiator.outcome is None), "one question at a time"
        if initiator.outcome is not None:
            return
        codec.decode(InitiatorMessage, asked[0], limit=limits.RECONCILE_FRAME_BYTES)
        _check_bounds(initiator)
        now += choices.pick((0, 0, 1, 2_000, 60_000))
        answer = _answer(honest, asked[0], choices, UnixMs(now))
        effects = initiator.step(given.FrameReceived(STREAM, answer), UnixMs(now))
    raise AssertionError("it asks for ever")


def _check_bounds(initiator: ReconcileInitiator) -> None:
    compared = initiator._comparison
    if compared is not None:
        assert len(compared._open) <= comparison.OPEN_RANGES_MAX
        assert len(compared.need) <= limits.DIRECTORY_ENTRIES_MAX


def _answer(honest: ReconcileResponder, asked: bytes, choices: Choices, now: UnixMs) -> bytes:
    """An honest answer, a bent one, or one of the right type that was made up."""
    match choices.below(8):
        case 6:
            return trees.pack(trees.draw(ResponderMessage, choices, [*LIKE, *RECORDS]))
        case 7:
            return choices.some()
        case kind:
            effects = honest.step(given.FrameReceived(STREAM, asked), now)
            sent = [one.payload for one in effects if isinstance(one, fx.Send)]
            if not sent or kind < 3:
                return sent[0] if sent else b""
            return trees.pack(trees.bend(trees.unpack(sent[0]), choices, [*LIKE, *RECORDS]))
