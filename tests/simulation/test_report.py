"""What a run writes: whole files, plots, and a page that asks nobody for anything."""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from pyarrow import parquet

from p2p_modelex.cli.simulate import simulate
from p2p_modelex.simulation.repeat.trace_file import read_trace
from p2p_modelex.simulation.results import drawing, files
from p2p_modelex.simulation.results.distributions import find_percentile
from p2p_modelex.simulation.results.drawing import render_png, render_svg
from p2p_modelex.simulation.results.files import write_result
from p2p_modelex.simulation.results.plots import list_plots
from p2p_modelex.simulation.results.report import Origin
from p2p_modelex.simulation.results.spread import Spread
from p2p_modelex.simulation.run import Result, Simulation
from p2p_modelex.simulation.scenario.plugins import PluginFile
from p2p_modelex.simulation.scenario.recipe import Recipe
from tests.simulation.worlds import MARKET, MESH

HOSTILE = '<script>alert("1")</script>'
HOLDS = '[[hold]]\nmeasure = "events"\nat_most = 1.0\n[[hold]]\nmeasure = "known"\nat_least = 0.5\n'


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    text = MARKET.replace("duration", f"about = '{HOSTILE}'\nduration", 1) + HOLDS
    return Recipe(text, plugins=(PluginFile("mine.py", f"X = '{HOSTILE}'\n"),))


@pytest.fixture(scope="module")
def result(recipe: Recipe) -> Result:
    with Simulation(recipe.build()) as run:
        return run.finish()


@pytest.fixture(scope="module")
def written(result: Result, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    write_result(result, folder, Origin(recipe, "modelex simulate x", "abc123"))
    return folder


class Page(HTMLParser):
    """Holds tags to what a page without requests and scripts may have."""

    VOID = ("meta", "link", "br", "!doctype")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.labels: list[str] = []
        self.cells_without_scope = 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), name
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src", "xlink:href", "action", "data"):
                self.links.append(value or "")
            if name == "aria-label":
                self.labels.append(value or "")
        self.cells_without_scope += tag == "th" and "scope" not in dict(attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_page_is_whole_and_asks_nobody(result: Result, written: Path) -> None:
    text = (written / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert not page.open
    assert len(set(page.ids)) == len(page.ids)
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert not {"script", "iframe", "img", "object", "embed", "form"} & set(page.tags)
    assert not re.search(r"@import|url\((?!#)", text)
    assert not page.cells_without_scope
    assert HOSTILE not in text
    assert text.count("&lt;script&gt;") == 3  # about, scenario and plug-in
    for said in (result.digest, "abc123", "modelex simulate x", "mine.py"):
        assert said in text
    assert text.count('<td class="bad">no</td>') == 1
    assert text.count('<td class="good">yes</td>') == 1
    plots = list_plots(result)
    assert [plot.name for plot in plots] == [
        *("delivery", "latency", "load", "known", "requests", "exposure", "money", "map")
    ]
    assert len(page.labels) == len(plots)
    assert {path.name for path in written.iterdir()} == {
        *(f"{plot.name}.png" for plot in plots),
        *("summary.json", "network.json", "report.html"),
        *("samples.jsonl", "samples.parquet", "spreads.jsonl", "spreads.parquet"),
    }


def test_rows_are_the_same_as_lines_and_as_parquet(result: Result, written: Path) -> None:
    for name in ("samples", "spreads"):
        lines = (written / f"{name}.jsonl").read_bytes().splitlines()
        rows = parquet.read_table(written / f"{name}.parquet").to_pylist()
        assert [msgspec.json.decode(line) for line in lines] == rows
    steps = [one for one in result.steps if one.of == "whole_ms" and one.load is None]
    assert steps[-1].count == result.measures["finished"]
    assert find_percentile(steps, 0.9) == result.measures["whole_ms_p90"]
    by_load = [one for one in result.steps if one.of == "whole_ms" and one.load is not None]
    most = {one.load: one.count for one in by_load}
    assert sum(most.values()) == result.measures["finished"]


def test_without_matplotlib_and_pyarrow_there_are_lines_and_tables(
    result: Result, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("matplotlib.figure", "pyarrow"):
        monkeypatch.setitem(sys.modules, module, None)
    assert not drawing.has_matplotlib()
    write_result(result, tmp_path, Origin(recipe))
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".jsonl", ".html"}
    assert result.digest in (tmp_path / "report.html").read_text()


def test_plots_are_small_and_the_same_each_time(result: Result, written: Path) -> None:
    for file in written.glob("*.png"):
        png = file.read_bytes()
        assert png.startswith(b"\x89PNG")
        assert len(png) < 60_000
    plot = list_plots(result)[-1]
    svg = render_svg(plot)
    assert "currentColor" in svg
    assert svg == render_svg(plot)
    assert render_png(plot) == (written / f"{plot.name}.png").read_bytes()


def test_a_mesh_without_requests_has_no_empty_plots() -> None:
    with Simulation(Recipe(MESH).build()) as run:
        found = run.finish()
    assert [plot.name for plot in list_plots(found)] == ["delivery", "known", "map"]


def test_what_a_distribution_tells_is_bounded() -> None:
    spread = Spread()
    for value in range(100_000):
        spread.add(value)
    steps = spread.get_steps()
    assert len(steps) < 400
    assert steps[-1] == (99_999, 100_000)
    assert [count for _, count in steps] == sorted(count for _, count in steps)


def test_exposure_is_what_was_paid_for_nothing_yet(result: Result) -> None:
    assert max(one.bought_ahead_ai for one in result.samples) > 0
    assert max(one.sold_ahead_ai for one in result.samples) > 0
    assert result.samples[-1].bought_ahead_ai == 0
    assert result.samples[-1].paid_ai > 0


def test_an_interrupted_run_sums_up_and_ends_with_130(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance = Simulation.advance

    def interrupt(run: Simulation, until_us: int) -> None:
        if until_us > 50_000_000:
            raise KeyboardInterrupt
        advance(run, until_us)

    monkeypatch.setattr(Simulation, "advance", interrupt)
    file = tmp_path / "mesh.toml"
    file.write_text(MESH + HOLDS, encoding="utf-8")
    done = CliRunner().invoke(simulate, [str(file), "--out", str(tmp_path / "out")])
    assert done.exit_code == 1  # click's own; main makes it 130
    assert "interrupted at 50.000 s of virtual time" in done.output
    summary = msgspec.json.decode((tmp_path / "out" / "summary.json").read_bytes())
    assert summary["is_whole"] is False
    assert summary["measures"]["virtual_s"] == 50
    text = (tmp_path / "out" / "report.html").read_text()
    assert "Interrupted at 50 s" in text
    assert '<td class="good">' not in text
    assert read_trace(tmp_path / "out" / "trace.jsonl").end.broke == "interrupted"


def test_a_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "summary.json"
    files.write_whole(file, b"before")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        files.write_whole(file, b"after")
    assert file.read_bytes() == b"before"
