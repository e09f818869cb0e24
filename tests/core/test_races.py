"""Runs whose providers and timers do anything in any order: one end, one text, and no rest."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs
from p2p_modelex.core.effects import TimerId
from p2p_modelex.core.exchange.table import State
from p2p_modelex.core.routing.profile import PROFILES
from p2p_modelex.ids import JobId
from p2p_modelex.records import codec
from p2p_modelex.records.job import Chunk, Refused
from p2p_modelex.units import UnixMs
from tests.core.exchange.pair import REQUEST
from tests.core.racing import MODEL, Fair, Stand

PROFILE = replace(PROFILES["default"], hedges=True, binds_late=True)
CHUNK = TimerId("exchange/1/chunk")
RUN = JobId((1).to_bytes(16, "big"))


def begin(rng: Random) -> Fair:
    """A run at a fair of four, who may seem full."""
    fair = Fair(4, profile=PROFILE).teach(200)
    for _ in range(20):
        fair.buying._racing._starts.note(MODEL, 150)
    if rng.random() < 0.6:
        fair.fill()
    fair.request(may_continue=rng.random() < 0.7, attempts=rng.randint(1, 4), deadline_ms=5_000)
    return fair


def refuse(stand: Stand) -> None:
    stand.say(codec.encode(Refused(stand.job, "busy", "no", 0)))


def lie(stand: Stand) -> None:
    stand.say(codec.encode(Chunk(stand.job, 77, "x", 99, ())))


def speak(stand: Stand) -> None:
    stand.speak(f"{stand.stream}.{stand.fair.now} ").step(inputs.TimerFired(CHUNK))


DEEDS: dict[State, list[Callable[[Stand], object]]] = {
    State.ORDERED: [Stand.start, Stand.start, Stand.start, refuse, Stand.lose, lie],
    State.RUNNING: [speak, speak, speak, speak, Stand.finish, Stand.fail, Stand.lose, lie],
}
"""What a provider may do; in other states its stream can only break."""


def play(fair: Fair, rng: Random) -> None:
    """Until nothing is under way, or for long enough."""
    readied: set[int] = set()
    for _ in range(80):
        fair.now = UnixMs(fair.now + rng.choice([0, 5, 50, 200]))
        if rng.random() < 0.2:
            fair.fire(rng.choice(["line", "line", "late", "late", "deadline"]))
        live = [one for one in fair.stands if fair.buying.owns(one.stream)]
        if not live:
            break
        stand = rng.choice(live)
        if stand.stream not in readied:
            readied.add(stand.stream)
            stand.ready()
        else:
            rng.choice(DEEDS.get(stand.exchange._state, [Stand.lose]))(stand)


def wind_up(fair: Fair) -> None:
    """Nobody wants it any more, and the streams that are left break."""
    fair.tell(inputs.CancelRun(RUN))
    while live := [one for one in fair.stands if fair.buying.owns(one.stream)]:
        live[0].lose()


@given(rng=st.randoms(use_true_random=False))
def test_a_run_ends_once_and_its_text_is_what_its_receipt_says(rng: Random) -> None:
    """RTE-42, RTE-43, RTE-45."""
    fair = begin(rng)
    play(fair, rng)
    wind_up(fair)
    assert fair.buying.is_idle
    (end,) = (one for one in fair.events if isinstance(one, fx.RunFinished | fx.RunFailed))
    assert end.paid <= 2_000
    said = ""
    for event in fair.events:
        if isinstance(event, fx.RunRestarted):
            said = ""
        elif isinstance(event, fx.RunText):
            said += event.text
    if isinstance(end, fx.RunFinished):
        before = end.row.request.text.removeprefix(REQUEST.text)
        assert said == before + end.row.completion
    held = [lane.held for one in fair.payer._channels.values() for lane in one.lanes]
    assert held == [None] * len(held)
