"""Every vector of protocols/ holds for an implementation that shares no code with ours."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.interop.jspeer import FOLDER, find_node

PROTOCOLS = Path(__file__).parents[2] / "protocols"
FILES = sorted(str(path.relative_to(PROTOCOLS)) for path in PROTOCOLS.glob("*/vectors/*.json"))

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def results() -> dict[str, dict[str, object]]:
    done = subprocess.run(
        [find_node(), str(FOLDER / "vectors.js"), str(PROTOCOLS)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {row["file"]: row for row in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("name", FILES)
def test_vectors(name: str, results: dict[str, dict[str, object]], figure: object) -> None:
    """Vectors"""
    assert callable(figure)
    figure("cases", results[name]["cases"])
    assert results[name]["failures"] == []
    assert results[name]["cases"]
