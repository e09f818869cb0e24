"""The table of gas in docs/contracts.md says what the snapshots say."""

import json
import re
from functools import cache

import pytest

from tests.contracts.tools import CONTRACTS

PAGE = (CONTRACTS.parent / "docs" / "contracts.md").read_text()
# | what | `file: key` / share | ours | ...
ROW = re.compile(r"^\|[^|]+\| `(\w+): ([^`]+)`(?: / ([\d,]+))? \| ([\d,]+) \|", re.MULTILINE)
ROWS = ROW.findall(PAGE)


def to_int(text: str) -> int:
    return int(text.replace(",", ""))


@cache
def read_snapshot(file: str) -> dict[str, str]:
    found: dict[str, str] = json.loads((CONTRACTS / "snapshots" / f"{file}.json").read_text())
    return found


@pytest.mark.parametrize(("file", "key", "share", "ours"), ROWS)
def test_a_figure_is_the_snapshots(file: str, key: str, share: str, ours: str) -> None:
    assert to_int(ours) == int(read_snapshot(file)[key]) // to_int(share or "1")


def test_every_line_with_a_snapshot_is_read() -> None:
    lines = [line for line in PAGE.splitlines() if re.search(r"\| `\w+: ", line)]
    assert len(ROWS) == len(lines) > 20
