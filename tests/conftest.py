"""Settings of the property tests and of coverage, for the whole suite."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

# No deadline: a loaded machine is not a failure. A failing example prints how to repeat it.
settings.register_profile("default", deadline=None, print_blob=True)
settings.register_profile("thorough", parent=settings.get_profile("default"), max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


TRACED = [Path(__file__).parent / name for name in ("core", "records")]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Coverage is measured where what decides is tested directly. Being traced makes simulations
    and whole nodes three times slower.
    """
    for item in items:
        if not any(item.path.is_relative_to(folder) for folder in TRACED):
            item.add_marker("no_cover")


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """What a command or a node of one test does to the log is not another test's."""
    kept = structlog.get_config()
    yield
    structlog.configure(**kept)
