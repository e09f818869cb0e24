"""A workload that was recorded: CSV with a header, or a JSON object a line with the same names.

The header is `time_s,prompt_tokens,completion_tokens`, and a line is such as `4.3,396,109`.
"""

import csv
import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import msgspec

from p2p_modelex.errors import BadInput
from p2p_modelex.limits import MIB
from p2p_modelex.simulation.models.lengths import LENGTH_MAX, Lengths
from p2p_modelex.simulation.scenario.texts import read_text

FILE_BYTES = 64 * MIB
TIME_MAX_S = 30 * 86_400.0
FIELDS = ("time_s", "prompt_tokens", "completion_tokens")


class Request(NamedTuple):
    """One request: microseconds from the first moment of the record, and its lengths."""

    at_us: int
    lengths: Lengths


@lru_cache(maxsize=4)
def read_requests(path: str) -> tuple[Request, ...]:
    """Read a record, by its suffix: .csv or .jsonl. BadInput names the file and the line."""
    file = Path(path)
    text = read_text(file, FILE_BYTES, hint="a path from the folder of the scenario")
    rows = _read_csv(text, path) if file.suffix == ".csv" else _read_lines(text, path)
    found: list[Request] = []
    for line, values in rows:
        request = _build(values, path, line)
        if found and request.at_us < found[-1].at_us:
            raise _fault(path, line, "it is before the line above", "sort it by time_s")
        found.append(request)
    if not found:
        raise BadInput(f"{path} has no requests", hint="a line for each, after the header")
    return tuple(found)


@lru_cache(maxsize=4)
def digest_record(path: str) -> str:
    """Return what tells a record from another; BadInput as read_requests."""
    return hashlib.sha256(repr(read_requests(path)).encode()).hexdigest()


def _read_csv(text: str, path: str) -> Iterator[tuple[int, tuple[object, ...]]]:
    reader = csv.reader(text.splitlines())
    header = tuple(name.strip() for name in next(reader, []))
    if header != FIELDS:
        raise _fault(path, 1, f"its header is {','.join(header)[:80]!r}", ",".join(FIELDS))
    for row in reader:
        yield reader.line_num, tuple(row)


def _read_lines(text: str, path: str) -> Iterator[tuple[int, tuple[object, ...]]]:
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            table = msgspec.json.decode(line, type=dict[str, float])
        except msgspec.DecodeError as error:
            raise _fault(path, number, f"not an object of numbers: {error}", "") from error
        yield number, tuple(table.get(name) for name in FIELDS)


def _build(values: tuple[object, ...], path: str, line: int) -> Request:
    try:
        time_s, prompt, completion = (float(str(value)) for value in values)
    except ValueError as error:
        raise _fault(path, line, f"not three numbers: {error}", ",".join(FIELDS)) from error
    if not 0.0 <= time_s <= TIME_MAX_S:
        raise _fault(path, line, f"time_s is {time_s:g}", f"0 to {TIME_MAX_S:g}")
    for name, length in zip(FIELDS[1:], (prompt, completion), strict=True):
        if not 1 <= length <= LENGTH_MAX or length != int(length):
            raise _fault(path, line, f"{name} is {length:g}", f"a whole number to {LENGTH_MAX}")
    return Request(int(time_s * 1_000_000), Lengths(int(prompt), int(completion)))


def _fault(path: str, line: int, what: str, hint: str) -> BadInput:
    return BadInput(f"{Path(path).name}, line {line}: {what}", hint=hint or "put it right")
