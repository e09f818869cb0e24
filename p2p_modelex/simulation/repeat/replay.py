"""A trace again: whether the run takes the same course, and where it first does not."""

from collections.abc import Callable

import msgspec

from p2p_modelex.errors import SimulationError
from p2p_modelex.simulation.opening import Run, open_run
from p2p_modelex.simulation.repeat.recorder import Recorder, Wanted
from p2p_modelex.simulation.repeat.trace_file import Event, Mark, TraceFile
from p2p_modelex.simulation.scenario.reading import parse_scenario

SLICES = 200
"""The marks are looked at so often in a run."""
SHOWN_MAX = 20
"""Events that are shown where the trace holds none to compare them with."""
_ENDED = "nothing: it has ended"

Progress = Callable[[Run], None]
"""Told of a run whenever some of it is done."""


class Differing(msgspec.Struct, frozen=True):
    """Where two runs part: behind one mark, up to the next. theirs, ours: the first event that
    differs of those that the trace holds; empty if it holds none there, then `events` are ours.
    """

    after: Mark
    up_to: Mark
    theirs: str = ""
    ours: str = ""
    events: tuple[str, ...] = ()


class Replayed(msgspec.Struct, frozen=True):
    """What came of a replay. trace: of this run, with the events that were asked for; is_cut: not
    all of them. differs: None if it took the same course.
    """

    trace: TraceFile
    is_cut: bool
    differs: Differing | None


def replay(
    theirs: TraceFile, code: str, wanted: Wanted | None = None, progress: Progress = lambda _: None
) -> Replayed:
    """Run the scenario of a trace, up to where it differs. BadInput if this version refuses it.

    code: what this version is called in the trace of the replay.
    """
    recorder = Recorder(wanted, period=theirs.head.period)
    ours = _play(theirs, recorder, code, progress)
    part = _find_part(theirs, ours)
    if part is not None:
        part = _narrow(theirs, part, code, progress)
    return Replayed(ours, recorder.is_full, part)


def _play(theirs: TraceFile, recorder: Recorder, code: str, progress: Progress) -> TraceFile:
    head = theirs.head
    scenario = parse_scenario(head.scenario, source="the trace's scenario", plugins=head.plugins)
    broke = ""
    unmet: tuple[str, ...] = ()
    with open_run(scenario) as run:
        recorder.attach(run)
        try:
            for number in range(1, SLICES + 1):
                run.advance(scenario.duration * number // SLICES)
                progress(run)
                if _find_mark(theirs.marks, recorder.marks) or recorder.count > theirs.end.events:
                    break
            else:
                unmet = run.finish().unmet
        except SimulationError as error:
            broke = str(error)
        return recorder.conclude(run, code, broke=broke, unmet=unmet)


def _find_mark(theirs: tuple[Mark, ...], ours: list[Mark] | tuple[Mark, ...]) -> int | None:
    """Return the position of the first mark that differs."""
    pairs = zip(theirs, ours, strict=False)
    return next((at for at, (one, other) in enumerate(pairs) if one != other), None)


def _find_part(theirs: TraceFile, ours: TraceFile) -> Differing | None:
    at = _find_mark(theirs.marks, ours.marks)
    both = min(len(theirs.marks), len(ours.marks)) if at is None else at
    after = theirs.marks[both - 1] if both else Mark(0, 0, "")
    if at is not None:
        return Differing(after, theirs.marks[at])
    one, other = theirs.end, ours.end
    if (one.events, one.digest) == (other.events, other.digest):
        return None
    last = one if one.events > other.events else other
    return Differing(after, Mark(last.events, last.at_us, ""))


def _narrow(theirs: TraceFile, part: Differing, code: str, progress: Progress) -> Differing:
    """Run once more and keep the events between two marks."""
    after, up_to = part.after.events, part.up_to.events
    recorder = Recorder(Wanted(after=after, up_to=up_to), period=theirs.head.period)
    kept = _play(theirs, recorder, code, progress).events
    ours = {event.events: event for event in kept if after < event.events <= up_to}
    held = {event.events: event for event in theirs.events}
    for count in range(after + 1, up_to + 1):
        one, other = held.get(count), ours.get(count)
        is_over = count > theirs.end.events
        if (one is not None or is_over) and _digest_of(one) != _digest_of(other):
            return msgspec.structs.replace(part, theirs=_text_of(one), ours=_text_of(other))
    shown = tuple(event.text for event in list(ours.values())[:SHOWN_MAX])
    return msgspec.structs.replace(part, events=shown)


def _digest_of(event: Event | None) -> str:
    return event.digest if event is not None else ""


def _text_of(event: Event | None) -> str:
    return event.text if event is not None else _ENDED
