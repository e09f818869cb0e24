"""Where things are, for the tests that hold the house to its rules."""

import re
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "p2p_modelex"
PROTOCOLS = ROOT / "protocols"
# A rule's number, such as ADV-4 or EIP712-1.
RULE = re.compile(r"\b[A-Z][A-Z0-9]*-[0-9]+\b")


@cache
def files() -> tuple[Path, ...]:
    """Every file of the project: what git tracks, and what it would track."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    paths = (ROOT / name for name in listing.split("\0") if name)
    return tuple(sorted(path for path in paths if path.is_file()))


def under(folder: Path, *suffixes: str) -> list[Path]:
    """The project's files below `folder` with one of the suffixes."""
    return [path for path in files() if path.is_relative_to(folder) and path.suffix in suffixes]


@cache
def read(path: Path) -> str:
    """A file's text; empty for one that is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def name_of(path: Path) -> str:
    """A path as shown to people."""
    return path.relative_to(ROOT).as_posix()


def assert_none(offenders: Mapping[str, object] | Sequence[str], advice: str) -> None:
    """Fail with one offender a line; pytest would cut the list short."""
    if isinstance(offenders, Mapping):
        offenders = [f"{name}: {what}" for name, what in offenders.items()]
    assert not offenders, "\n".join([advice, *offenders])
