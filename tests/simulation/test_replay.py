"""Traces: a run again takes the same course; where it does not, that is found."""

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from p2p_modelex.cli.simulate import simulate
from p2p_modelex.errors import BadInput, SimulationError
from p2p_modelex.simulation.repeat import recorder as recording
from p2p_modelex.simulation.repeat.recorder import LAST_EVENTS, Recorder, Wanted
from p2p_modelex.simulation.repeat.replay import SHOWN_MAX, replay
from p2p_modelex.simulation.repeat.telling import LINE_MAX
from p2p_modelex.simulation.repeat.trace_file import TraceFile, read_trace, write_trace
from p2p_modelex.simulation.run import Simulation
from p2p_modelex.simulation.scenario.writing import write_scenario
from tests.simulation.worlds import MESH, build, play

SHORT = ("duration=40 s", "settle=30 s")
SOON = ("duration=8 s", "settle=1 s")
"""Nobody can know everybody so soon."""


def record(*settings: str, wanted: Wanted | None = None) -> TraceFile:
    with Simulation(build(MESH, *settings)) as run:
        recorder = Recorder(wanted)
        recorder.attach(run)
        try:
            run.finish()
        except SimulationError as error:
            return recorder.conclude(run, "here", broke=str(error))
        return recorder.conclude(run, "here")


def disguise(trace: TraceFile, *settings: str, fault: str = "") -> TraceFile:
    """What a trace looks like to code that makes another run of its scenario."""
    text = write_scenario(build(MESH + fault, *settings))
    return msgspec.structs.replace(trace, head=msgspec.structs.replace(trace.head, scenario=text))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(simulate, [*map(str, arguments), "--quiet"])


def test_a_trace_is_kept_and_repeats(tmp_path: Path) -> None:
    trace = record(*SHORT)
    assert trace.end.digest == play(MESH, *SHORT).digest
    write_trace(tmp_path / "one", trace)
    kept = read_trace(tmp_path / "one")
    assert (kept.head, kept.marks, kept.events) == (trace.head, trace.marks, trace.events)
    replayed = replay(kept, "there")
    assert replayed.differs is None
    assert replayed.trace.end == trace.end
    assert replayed.trace.marks == trace.marks


def test_marks_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "MARKS_MAX", 8)
    trace = record(*SHORT)
    assert 4 <= len(trace.marks) < 8
    assert [mark.events for mark in trace.marks] == [
        trace.head.period * number for number in range(1, len(trace.marks) + 1)
    ]
    assert replay(trace, "there").differs is None


def test_the_last_events_are_kept_and_those_that_are_wanted() -> None:
    trace = record(*SHORT)
    assert len(trace.events) == LAST_EVENTS
    assert trace.events[-1].events == trace.end.events
    of_one = Wanted(from_us=9_000_000, until_us=10_000_000, node=2)
    wanted = record(*SHORT, wanted=of_one).events[:-LAST_EVENTS]
    assert wanted
    assert all(9e6 <= event.at_us <= 1e7 and event.number == 2 for event in wanted)
    assert all(" s node 2: " in event.text and len(event.text) <= LINE_MAX for event in wanted)


def test_more_events_than_are_kept_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "EVENTS_MAX", 5)
    replayed = replay(record(*SHORT), "there", Wanted(until_us=20_000_000))
    assert replayed.is_cut
    assert len(replayed.trace.events) == 5 + LAST_EVENTS


def test_another_course_is_found_between_two_marks() -> None:
    clog = '[[fault]]\nkind = "clog"\nat = "6 s"\nlasts = "1 s"\nshare = 1.0\n'
    trace = disguise(record(*SHORT), *SHORT, fault=clog)
    differs = replay(trace, "there").differs
    assert differs is not None
    assert 0 < differs.after.events < differs.up_to.events == differs.after.events + 64
    assert differs.theirs == differs.ours == ""
    assert differs.after.at_us < 6_000_000 <= differs.up_to.at_us
    assert len(differs.events) == SHOWN_MAX


def test_the_first_event_that_differs_is_shown_of_both() -> None:
    trace = record(*SHORT, wanted=Wanted())
    differs = replay(disguise(trace, *SHORT, "links.latency=2 ms"), "there").differs
    assert differs is not None
    held = {event.text: event for event in trace.events}
    first = held[differs.theirs]
    assert differs.after.events < first.events <= differs.up_to.events
    assert differs.ours
    assert differs.ours != differs.theirs


@pytest.mark.parametrize(("ours", "ended"), [("39 s", "here"), ("41 s", "there")])
def test_a_run_that_ends_sooner_or_later_differs(ours: str, ended: str) -> None:
    trace = disguise(record(*SHORT, wanted=Wanted()), f"duration={ours}", "settle=30 s")
    differs = replay(trace, "there").differs
    assert differs is not None
    assert "ended" in (differs.ours if ended == "here" else differs.theirs)


def test_the_command_writes_and_replays(tmp_path: Path) -> None:
    file, trace = tmp_path / "mesh.toml", tmp_path / "out" / "trace.jsonl"
    file.write_text(MESH, encoding="utf-8")
    written = run(file, "--set", SHORT[0], "--set", SHORT[1], "--out", trace.parent)
    assert f"wrote {trace}" in written.output
    again = run("--replay", trace, "--events", "9..10", "--node", "2")
    assert again.exit_code == 0, again.output
    assert " s node 2: " in again.output
    assert read_trace(trace).end.digest in again.output


def test_the_command_says_where_it_parts(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    write_trace(trace, disguise(record(*SHORT), *SHORT, "seed=2"))
    done = run("--replay", trace, "--trace", tmp_path / "ours")
    assert "another course" in str(done.exception)
    assert "the same up to event 0 " in done.output
    assert "--events 0.000000.." in done.output
    assert read_trace(tmp_path / "ours").head.scenario == read_trace(trace).head.scenario
    write_trace(trace, disguise(record(*SHORT, wanted=Wanted()), *SHORT, "seed=2"))
    assert "  here:      " in run("--replay", trace).output


def test_what_broke_breaks_again(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    broken = record(*SOON)
    write_trace(trace, broken)
    done = run("--replay", trace)
    assert done.exit_code == 0, done.output
    assert f"it broke: {broken.end.broke}" in done.output
    held = msgspec.structs.replace(broken.end, broke="")
    write_trace(trace, msgspec.structs.replace(broken, end=held))
    assert "it ends another way: it held" in str(run("--replay", trace).exception)


def test_a_run_that_breaks_leaves_its_trace(tmp_path: Path) -> None:
    file, trace = tmp_path / "mesh.toml", tmp_path / "trace.jsonl"
    file.write_text(MESH, encoding="utf-8")
    done = run(file, "--set", SOON[0], "--set", SOON[1], "--trace", trace)
    assert read_trace(trace).end.broke == str(done.exception)


def test_damaged_traces_are_refused(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    write_trace(trace, record(*SHORT))
    whole = trace.read_bytes()
    lines = whole.splitlines(keepends=True)
    for content, why in (
        (b"", "no trace from line 1"),
        (b"hello", "no trace from line 1"),
        (b"\xff\n\n", "no trace from line 1"),
        (b"".join(lines[:9]), "cut off"),
        (whole[: len(lines[0]) + 9], "no trace from line"),
        (b"".join([lines[0], *lines[2:]]), "not as it was written"),
        (whole.replace(b"mesh", b"mash", 1), "not as it was written"),
        (b"".join(lines[1:]), "does not begin"),
        (whole.replace(b'"version":1', b'"version":2', 1), "of version 2"),
    ):
        trace.write_bytes(content)
        with pytest.raises(BadInput, match=why):
            read_trace(trace)
    with pytest.raises(BadInput, match="cannot read"):
        read_trace(tmp_path)


def test_wrong_arguments_are_refused(tmp_path: Path) -> None:
    for span in ("5", "7..5", "x..", "..nan", "1..inf"):
        assert isinstance(run("newcomer", "--events", span).exception, BadInput), span
    assert "Give a scenario" in run().output
    assert "give no other" in run("newcomer", "--replay", "trace").output
    for more in (("--seeds", "2"), ("--sweep", "seed=1,2"), ("--shrink",)):
        assert "of one run" in run("newcomer", "--trace", "t", *more).output, more
    file = tmp_path / "mesh.toml"
    file.write_text(MESH, encoding="utf-8")
    done = run(file, "--set", "duration=6 s", "--set", "settle=0 s", "--trace", tmp_path / "no/t")
    assert "there is no folder" in str(done.exception)


def test_a_trace_brings_its_plugins(tmp_path: Path) -> None:
    text = (
        "from p2p_modelex.simulation.plugin import behaviour\n\n\n"
        '@behaviour("mute-in-a-trace")\ndef mute(life, effect):\n    return None\n'
    )
    plugin, file, trace = (tmp_path / name for name in ("mute.py", "mesh.toml", "trace.jsonl"))
    plugin.write_text(text, encoding="utf-8")
    mesh = MESH.replace('name = "mesh"', 'name = "mesh"\nplugin = { files = ["mute.py"] }')
    file.write_text(mesh, encoding="utf-8")
    liars = ("--set", "population.1.behaviour=mute-in-a-trace", "--set", "settle=0 s")
    assert run(file, *liars, "--trace", trace).exit_code == 0
    plugin.unlink()
    assert read_trace(trace).head.plugins[0].text == text
    again = run("--replay", trace)
    assert again.exit_code == 0, again.output
