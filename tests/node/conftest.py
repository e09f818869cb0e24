"""What every test of nodes begins with."""

import pytest
import structlog


@pytest.fixture(autouse=True)
def plain_log() -> None:
    """Commands that ran in this process before have set their own, which shows warnings only."""
    structlog.reset_defaults()
