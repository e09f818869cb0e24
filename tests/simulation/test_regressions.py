"""What random worlds once broke, each as small as `--shrink` made it: it holds since."""

from pathlib import Path

import pytest

from p2p_modelex.simulation.repeat.failure import find_failure
from p2p_modelex.simulation.scenario.reading import read_scenario

FOLDER = Path(__file__).parent / "regressions"


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_what_broke_once_holds(path: Path) -> None:
    assert find_failure(read_scenario(path)) is None
