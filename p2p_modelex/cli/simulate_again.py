"""`modelex simulate --trace`, `--replay` and `--shrink`: a run kept, repeated, made small."""

import io
import subprocess
import sys
import time
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import click

from p2p_modelex.errors import BadInput, SimulationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from p2p_modelex.simulation.opening import Run
    from p2p_modelex.simulation.repeat.failure import Failure
    from p2p_modelex.simulation.repeat.recorder import Wanted
    from p2p_modelex.simulation.repeat.replay import Differing, Replayed
    from p2p_modelex.simulation.repeat.trace_file import End, Mark, TraceFile
    from p2p_modelex.simulation.run import Result
    from p2p_modelex.simulation.scenario.tables import Scenario

TRACE = "trace.jsonl"
"""The trace in the folder of `--out`."""


def find_code() -> str:
    """Say which code runs: its version, and its commit where it runs from a checkout."""
    here = Path(__file__).parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return metadata.version("p2p-modelex")
    return f"{metadata.version('p2p-modelex')} at {done.stdout.strip()}"


def parse_wanted(events: str | None, node: int | None) -> "Wanted | None":
    """Read `--events FROM..TO` (seconds, either may be left out) and `--node`; BadInput."""
    if events is None and node is None:
        return None
    from p2p_modelex.simulation.repeat.recorder import Wanted

    begins, dots, ends = (events or "..").partition("..")
    try:
        from_us = round(float(begins or 0) * 1_000_000)
        until_us = round(float(ends) * 1_000_000) if ends else 2**63
    except (ValueError, OverflowError):
        dots = ""
    if not dots or not 0 <= from_us <= until_us:
        raise BadInput(f"not a span of time: {events!r}", hint="--events 12.5..13, in seconds")
    return Wanted(from_us=from_us, until_us=until_us, node=node)


def run_traced(
    run: "Run", play: "Callable[[], Result]", path: Path, wanted: "Wanted | None"
) -> "Result":
    """Play a run and write its trace, whatever becomes of it; raises what `play` does."""
    from p2p_modelex.simulation.repeat.recorder import Recorder

    recorder = Recorder(wanted)
    recorder.attach(run)
    try:
        result = play()
    except SimulationError as error:
        _keep(path, recorder.conclude(run, find_code(), broke=str(error)))
        raise
    except KeyboardInterrupt:
        _keep(path, recorder.conclude(run, find_code(), broke="interrupted"))
        raise
    _keep(path, recorder.conclude(run, find_code(), unmet=result.unmet))
    return result


def _keep(path: Path, trace: "TraceFile") -> None:
    from p2p_modelex.simulation.repeat.trace_file import write_trace

    with writing(path):
        write_trace(path, trace)
    click.echo(f"wrote {path}")


@contextmanager
def writing(path: Path) -> "Iterator[None]":
    """Turn what keeps results from the disk into BadInput."""
    try:
        yield
    except OSError as error:
        said = f"cannot write {error.filename or path}: {error.strerror}"
        raise BadInput(said, hint="free space, or another place") from error


def replay_trace(path: Path, wanted: "Wanted | None", kept: Path | None, *, is_shown: bool) -> None:
    """Run a trace again. SimulationError where it takes another course, or ends another way.

    kept: where the trace of this run goes, if anywhere.
    """
    from p2p_modelex.simulation.repeat.replay import replay
    from p2p_modelex.simulation.repeat.trace_file import read_trace

    theirs, code = read_trace(path), find_code()
    lines = sys.stderr if is_shown else io.StringIO()
    with click.progressbar(length=theirs.end.at_us, label="replay", file=lines) as bar:
        replayed = replay(
            theirs, code, wanted, lambda run: bar.update(max(0, run.kernel.now - bar.pos))
        )
    if wanted is not None:
        _show_events(replayed, wanted)
    if kept is not None:
        _keep(kept, replayed.trace)
    differs = replayed.differs
    if differs is not None:
        _show_differing(path, theirs, code, differs)
        raise SimulationError(f"it takes another course than {path}", hint="see above")
    click.echo(f"digest {replayed.trace.end.digest}: all {theirs.end.events:,} events are the same")
    _compare_ends(theirs.end, replayed.trace.end)


def _show_events(replayed: "Replayed", wanted: "Wanted") -> None:
    for event in replayed.trace.events:
        if wanted.covers(event.events, event.at_us, event.number):
            click.echo(event.text)
    if replayed.is_cut:
        click.echo("... and more than are kept: ask for a shorter span")


def _show_differing(path: Path, theirs: "TraceFile", code: str, differs: "Differing") -> None:
    click.echo(f"the same up to {_tell(differs.after)}, not at {_tell(differs.up_to)}")
    click.echo(f"  the trace: {theirs.head.code}, Python {theirs.head.python}; here: {code}")
    if differs.theirs:
        click.echo("the first event that differs, of those that the trace holds:")
        click.echo(f"  the trace: {differs.theirs}\n  here:      {differs.ours}")
        return
    span = f"{differs.after.at_us / 1e6:.6f}..{differs.up_to.at_us / 1e6:.6f}"
    click.echo("it holds none of the events between; here they begin so:")
    for text in differs.events:
        click.echo(f"  {text}")
    click.echo("to see which differs, have the code of the trace write them, and replay that here:")
    click.echo(f"  modelex simulate --replay {path} --events {span} --trace whole.jsonl")


def _tell(mark: "Mark") -> str:
    return f"event {mark.events:,} ({mark.at_us / 1e6:.6f} s)"


def _compare_ends(theirs: "End", ours: "End") -> None:
    """The events are the same; what is made of them may not be, if a checker is another."""
    for broke in dict.fromkeys((*filter(None, (ours.broke,)), *ours.unmet)):
        click.echo(f"it broke: {broke}")
    if (theirs.broke, theirs.unmet) != (ours.broke, ours.unmet):
        before = theirs.broke or "; ".join(theirs.unmet) or "it held"
        raise SimulationError(f"it ends another way: {before}, in the trace", hint="see above")


def shrink_scenario(scenario: "Scenario", folder: Path, seconds: float) -> None:
    """Write the smallest scenario that fails like this one into a folder."""
    from p2p_modelex.simulation.repeat.shrink import shrink

    until = time.monotonic() + seconds

    def show(tries: int, smallest: "Scenario", failure: "Failure") -> None:
        nodes, at_s = smallest.nodes, failure.at_us / 1e6
        click.echo(
            f"{tries} tries: {nodes} nodes, {failure.events:,} events, {at_s:.0f} s", err=True
        )

    shrunk = shrink(scenario, is_late=lambda: time.monotonic() > until, progress=show)
    path = folder / f"{scenario.name}.shrunk.toml"
    try:
        smallest = _keep_plugins(shrunk.scenario, folder)
        path.write_text(write_shrunk(smallest, shrunk.failure, path), encoding="utf-8")
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror}", hint="--out FOLDER") from error
    more = "" if shrunk.is_whole else "; there was no time for more"
    click.echo(f"it broke: {shrunk.failure.said}")
    click.echo(f"wrote {path} after {shrunk.tries} tries{more}")


def _keep_plugins(scenario: "Scenario", folder: Path) -> "Scenario":
    """Put a scenario's plug-ins where it is written: by their paths if these stay in the folder."""
    import msgspec

    from p2p_modelex.simulation.scenario.plugins import list_loaded
    from p2p_modelex.simulation.scenario.tables import Plugins

    plugins = list_loaded(scenario.plugin.files)
    paths = [Path(plugin.name) for plugin in plugins]
    paths = [Path(one.name) if one.is_absolute() or ".." in one.parts else one for one in paths]
    for path, plugin in zip(paths, plugins, strict=True):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(plugin.text, encoding="utf-8")
    files = tuple(path.as_posix() for path in paths)
    return msgspec.structs.replace(scenario, plugin=Plugins(files=files))


def write_shrunk(scenario: "Scenario", failure: "Failure", path: Path) -> str:
    """Return the text of a scenario that fails by itself."""
    from p2p_modelex.simulation.scenario.writing import write_scenario

    said = " ".join(failure.said.split())
    return f"# {said}\n# Repeat: modelex simulate {path.name}\n{write_scenario(scenario)}"
