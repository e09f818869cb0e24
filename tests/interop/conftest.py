"""Interoperation with the JavaScript peer: `make interop`, and the table that it prints."""

from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from tests.interop.jspeer import JsPeer, run_js_peer
from tests.interop.trials import Trials, open_trials

Figure = Callable[[str, object], None]


@pytest.fixture
async def js(tmp_path: Path) -> AsyncGenerator[JsPeer, None]:
    """A JavaScript peer that belongs to no chain."""
    async with run_js_peer(tmp_path / "js.log") as peer:
        yield peer


@pytest.fixture
async def ours() -> AsyncGenerator[Trials, None]:
    """Our network as it ships, serving the trial protocols."""
    async with open_trials() as trials:
        yield trials


@pytest.fixture
def figure(record_property: Figure) -> Figure:
    """Note a figure for the table: figure(name, value)."""
    return record_property


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each interop test says in its docstring what the table shows."""
    for item in items:
        if item.get_closest_marker("interop") is not None:
            line = (getattr(item, "function", item).__doc__ or item.name).strip().splitlines()[0]
            case = f" [{item.name.split('[', 1)[1]}" if "[" in item.name else ""
            item.user_properties.append(("row", line + case))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    rows = []
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            properties = list(report.user_properties)
            if properties and properties[0][0] == "row" and report.when in {"call", "setup"}:
                what, rest = properties[0][1], properties[1:]
                figures = ", ".join(f"{name} {value}" for name, value in rest if name != "step")
                rows.append((report.nodeid, what, outcome, figures))
                steps = [f"- {value}" for name, value in rest if name == "step"]
                rows += [(report.nodeid, step, "passed", "") for step in steps]
    if rows:
        terminalreporter.section("interoperation with js-libp2p")
        terminalreporter.write_line("| What | Result | Figures |\n| --- | --- | --- |")
        for _, what, outcome, figures in rows:
            terminalreporter.write_line(f"| {what} | {outcome} | {figures} |")
