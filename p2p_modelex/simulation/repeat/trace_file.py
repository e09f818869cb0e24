"""The file of a trace: a line for its scenario, one for each mark and event, one for its end."""

import hashlib
from pathlib import Path

import msgspec

from p2p_modelex.errors import BadInput
from p2p_modelex.simulation.scenario.plugins import PluginFile

VERSION = 1
MARKS_MAX = 1024
"""Digests by the way; a run has at least half of them, or one in 64 events."""
EVENTS_MAX = 100_000
"""Events that are kept to be looked at, at some 300 bytes each."""
FILE_BYTES = 64 * 2**20


class Head(msgspec.Struct, frozen=True, tag="trace"):
    """scenario: as TOML, with its seed. code: version and commit. period: events from mark to mark.
    plugins: those that it names, to be run again with it.
    """

    version: int
    scenario: str
    code: str
    python: str
    period: int
    plugins: tuple[PluginFile, ...] = ()


class Mark(msgspec.Struct, frozen=True, tag="mark"):
    """The digest of the first so many events, the last of which was at this time."""

    events: int
    at_us: int
    digest: str


class Event(msgspec.Struct, frozen=True, tag="event"):
    """One event: how many there were with it, whose it was, its own digest, and what it was."""

    events: int
    at_us: int
    number: int
    digest: str
    text: str


class End(msgspec.Struct, frozen=True, tag="end"):
    """What became of it. broke: what stopped it, if anything. check: SHA-256 of the lines above."""

    events: int
    at_us: int
    digest: str
    broke: str
    unmet: tuple[str, ...]
    check: str = ""


class TraceFile(msgspec.Struct, frozen=True):
    """A trace in whole."""

    head: Head
    marks: tuple[Mark, ...]
    events: tuple[Event, ...]
    end: End


_Line = Head | Mark | Event | End


def write_trace(path: Path, trace: TraceFile) -> None:
    """Write a trace; OSError if it cannot be."""
    lines = (trace.head, *trace.marks, *trace.events)
    body = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
    end = msgspec.structs.replace(trace.end, check=hashlib.sha256(body).hexdigest())
    path.write_bytes(body + msgspec.json.encode(end) + b"\n")


def read_trace(path: Path) -> TraceFile:
    """Read a trace. BadInput if it is none, or of another version, or damaged."""
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES + 1)
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}", hint="check the path") from error
    if len(content) > FILE_BYTES:
        raise BadInput(f"{path} is over {FILE_BYTES} bytes", hint="check the path")
    body, _, last = content.removesuffix(b"\n").rpartition(b"\n")
    lines = [_read_line(path, number, line) for number, line in enumerate(body.split(b"\n"), 1)]
    head = lines[0]
    if not isinstance(head, Head):
        raise _damaged(path, "does not begin as a trace does")
    end = _read_line(path, len(lines) + 1, last)
    if not isinstance(end, End):
        raise _damaged(path, "is cut off: its end is missing")
    if hashlib.sha256(body + b"\n").hexdigest() != end.check:
        raise _damaged(path, "is not as it was written")
    marks = tuple(line for line in lines if isinstance(line, Mark))
    events = tuple(line for line in lines if isinstance(line, Event))
    return TraceFile(head, marks, events, end)


def _read_line(path: Path, number: int, line: bytes) -> _Line:
    try:
        found: _Line = msgspec.json.decode(line, type=_Line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _damaged(path, f"is no trace from line {number} on: {error}") from error
    if isinstance(found, Head) and found.version != VERSION:
        raise BadInput(f"{path} is a trace of version {found.version}", hint=f"read: {VERSION}")
    return found


def _damaged(path: Path, what: str) -> BadInput:
    return BadInput(f"{path} {what}", hint="write it again, with --trace")
