"""What a buyer's process writes of each job, a line at a time: a kill loses nothing told."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class Journal:
    """One buyer's file, appended to by one process after another."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, **entry: Any) -> None:
        """Append a line; it is in the kernel's hands when this returns."""
        with self._path.open("ab", buffering=0) as file:
            file.write(b"\n" + json.dumps(entry).encode())

    def read(self) -> list[dict[str, Any]]:
        """All whole lines; the one that a kill tore is none."""
        entries = []
        for line in self._path.read_bytes().split(b"\n") if self._path.exists() else ():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            entries.append(entry)
        return entries


@dataclass(slots=True)
class Told:
    """A journal summed up. done: `ok` entries. failed: (error, number). open: begun, not ended."""

    begun: int = 0
    done: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, Any]] = field(default_factory=list)
    open: dict[int, None] = field(default_factory=dict)
    is_calm: bool = False


def sum_up(entries: list[dict[str, Any]]) -> Told:
    """Read a journal's entries in order."""
    told = Told()
    for entry in entries:
        match entry:
            case {"begin": number}:
                told.begun += 1
                told.open[number] = None
            case {"end": number}:
                told.open.pop(number, None)
                (told.done if entry["ok"] else told.failed).append(entry)
            case {"calm": _}:
                told.is_calm = True
    return told
