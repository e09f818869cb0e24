"""Where the results of `modelex map` go: a file, which is continued, or standard output."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from p2p_modelex.cli.text import printable
from p2p_modelex.errors import BadInput, StoreError

if TYPE_CHECKING:
    from p2p_modelex.node.mapping.maps import Map

_PART_BYTES = 1024 * 1024


def check_output(output: Path | None, journal: Path | None) -> None:
    """Raise BadInput for a file that no map has begun: it might be anything; and for a journal that
    the results would overwrite, or a folder that is not there.
    """
    for file in filter(None, (output, journal)):
        if not file.parent.is_dir():
            raise BadInput(f"there is no folder {file.parent}", hint="make it, or write elsewhere")
    if output and journal and output.resolve() == journal.resolve():
        raise BadInput(f"{output} cannot be journal and output", hint="name another --journal")
    if output is None or not output.exists() or not output.stat().st_size:
        return
    if journal is None or not journal.exists():
        raise BadInput(
            f"{output} is there, and no journal {journal} that goes with it",
            hint="write to another --output, or remove it",
        )


async def write_results(results: "Map", output: Path | None) -> None:
    """Write results as they come; those that the output has already are left as they are.

    Raises StoreError if it cannot be written, and what stops the map.
    """
    with _open_output(output) as file:
        has = _count_lines(file) if output else 0
        is_seen = output is None and file.isatty()
        while (line := await results.take()) is not None:
            if results.taken > has:
                # A terminal obeys what it is sent, and JSON lets some of that through.
                shown = printable(line.decode()).encode() if is_seen else line
                _put(file, shown + b"\n")


def get_standard_output() -> IO[bytes]:
    """Return where results go that go into no file."""
    return sys.stdout.buffer


@contextmanager
def _open_output(output: Path | None) -> Iterator[IO[bytes]]:
    try:
        if output is None:
            yield get_standard_output()
            return
        # Unbuffered, so that nothing is left to be written when it is closed.
        with output.open("a+b", buffering=0) as file:
            yield file
    except BrokenPipeError:
        raise
    except OSError as error:
        raise StoreError(
            f"cannot write {output or 'standard output'}: {error.strerror}",
            hint="it wants a plain file and room; what is in the journal is not paid again",
        ) from error


def _count_lines(file: IO[bytes]) -> int:
    """Return how many whole lines there are; what an interruption cut off is dropped."""
    file.seek(0)
    lines = whole = 0
    while part := file.read(_PART_BYTES):
        lines += part.count(b"\n")
        end = part.rfind(b"\n")
        whole = file.tell() - len(part) + end + 1 if end >= 0 else whole
    file.truncate(whole)
    return lines


def _put(file: IO[bytes], line: bytes) -> None:
    left = memoryview(line)
    while left:
        left = left[file.write(left) :]
    file.flush()
