"""Farms' records by gossip and by stream: kept only if signed, newer, and of a farm cared for."""

import random

from p2p_modelex import limits
from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as given
from p2p_modelex.core.farm import machine as farms
from p2p_modelex.core.farm.book import FarmBook
from p2p_modelex.ids import PublicKey
from p2p_modelex.records import codec
from p2p_modelex.records import envelope as envelopes
from p2p_modelex.records.envelope import Envelope
from p2p_modelex.records.farm import RECORD_DOMAIN, FarmAnswer, FarmQuestion, FarmRecord
from p2p_modelex.units import UnixMs
from tests.core.directory import worlds
from tests.core.farm.farms import DAY, FARM, OTHER_FARM, PAYEE
from tests.fuzz import trees
from tests.fuzz.choices import Choices

_FARMS = (FARM, OTHER_FARM)
_PEERS = [worlds.Key(number).peer for number in range(2, 5)]
_LIKE: tuple[object, ...] = (
    *(bytes(farm.public_key) for farm in _FARMS),
    "harvest",
    worlds.NOW,
    worlds.NOW + limits.CLOCK_SKEW_MS + 1,
    PAYEE,
    [2, 1],
    0,
    2**32,
)
_STREAMS_MAX = farms._ASKERS_MAX + 3 * farms.ASKED_MEMBERS


def run(content: bytes) -> None:
    choices = Choices(content)
    book = FarmBook(worlds.NETWORK)
    book.want(FARM.public_key)
    numbers = iter(range(2, 10**6, 2))
    machine = farms.FarmMachine(
        book,
        lambda _: [(peer, ("/memory/1",)) for peer in _PEERS],
        lambda: fx.StreamId(next(numbers)),
        random.Random(1),
    )
    now, newest = int(worlds.NOW), 0
    while choices:
        now += choices.pick((0, 1, 1_000, 10_000, 300_000, -1_000))
        _act(machine, choices, UnixMs(now))
        newest = _check(machine, newest)


def _act(machine: farms.FarmMachine, choices: Choices, now: UnixMs) -> None:
    peer, stream = choices.pick(_PEERS), fx.StreamId(choices.below(16))
    match choices.below(6):
        case 0:
            machine.ask(choices.pick(_FARMS).public_key, now)
        case 1:
            machine.step(given.StreamOpened(stream, peer, farms.FARM_PROTOCOL), now)
        case 2:
            machine.step(given.FrameReceived(stream, _draw_frame(choices)), now)
        case 3:
            timer = choices.pick(("farm/tell", "farm/refresh", f"farm/stream/{stream}"))
            machine.step(given.TimerFired(fx.TimerId(timer)), now)
        case 4:
            machine.set_ours([FARM.public_key], [_draw_record(choices)], now)
        case _:
            record = _draw_record(choices)
            machine.judge_gossip(peer, record, now)
            machine.step(given.GossipArrived(farms.FARMS_TOPIC, peer, peer, record), now)


def _draw_frame(choices: Choices) -> bytes:
    record = _draw_record(choices)
    match choices.below(3):
        case 0:
            return choices.some()
        case 1:
            return codec.encode(FarmAnswer(record))
        case _:
            return codec.encode(FarmQuestion(choices.pick(_FARMS).public_key, record))


def _draw_record(choices: Choices) -> bytes:
    farm = choices.pick(_FARMS)
    sequence = worlds.NOW + choices.below(8)
    plain = trees.to_plain(FarmRecord("harvest", sequence, 7 * DAY, PAYEE, (1, 2)))
    for _ in range(choices.below(3)):
        plain = trees.bend(plain, choices, _LIKE)
    sealed = envelopes.seal(RECORD_DOMAIN, worlds.NETWORK, trees.pack(plain), farm)
    if choices.chance(24):
        return trees.pack(trees.bend(trees.to_plain(sealed), choices, _LIKE))
    return codec.encode(sealed)


def _check(machine: farms.FarmMachine, newest: int) -> int:
    """What is kept is signed, of a farm that was named, and never older than before."""
    assert len(machine._asking) + len(machine._askers) <= _STREAMS_MAX
    for farm, held in machine.book._held.items():
        assert farm in {one.public_key for one in _FARMS}
        opened: Envelope = envelopes.decode_envelope(held.envelope, limit=limits.FARM_RECORD_BYTES)
        envelopes.verify(opened, RECORD_DOMAIN, worlds.NETWORK)
        assert PublicKey(opened.signer) == farm
    ours = machine.book._held.get(FARM.public_key)
    sequence = ours.record.sequence if ours is not None else newest
    assert sequence >= newest
    return sequence
