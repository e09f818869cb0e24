"""The attack suite: `make attacks`. Only tests marked `quick` run by default."""

from collections.abc import Iterator

import pytest

from tests.attacks.harness import ROWS, Siege, format_table


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/attacks/" in item.nodeid and item.get_closest_marker("quick") is None:
            item.add_marker("attack")


@pytest.fixture(scope="module")
def siege(request: pytest.FixtureRequest) -> Iterator[Siege]:
    """One victim for a module's attacks. SECTION and OPTIONS of the module say which."""
    module = request.module
    with Siege(module.SECTION, getattr(module, "OPTIONS", {})) as running:
        yield running


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for section in dict.fromkeys(row.section for row in ROWS):
        terminalreporter.section(section)
        terminalreporter.write_line(format_table(ROWS, section))
