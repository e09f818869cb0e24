"""Results on disk: JSON and JSON lines, Parquet where pyarrow is, plots where matplotlib is, and a
report. Each file is whole or not there.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from p2p_modelex.simulation.results.curves import list_curves
from p2p_modelex.simulation.results.drawing import has_matplotlib, render_png
from p2p_modelex.simulation.results.plots import list_plots
from p2p_modelex.simulation.results.points import Point
from p2p_modelex.simulation.results.report import Origin, build_report, build_sweep_report
from p2p_modelex.simulation.run import Result

SUMMARY = "summary.json"
SAMPLES = "samples.jsonl"


class Summary(msgspec.Struct, frozen=True):
    """What `summary.json` holds. is_whole: whether the run came to its end."""

    scenario: str
    seed: int
    digest: str
    measures: dict[str, float]
    unmet: tuple[str, ...]
    is_whole: bool = True
    code: str = ""
    command: str = ""


def write_result(result: Result, folder: Path, origin: Origin) -> list[Path]:
    """Write all that there is of a run; returns what was written."""
    summary = Summary(
        result.scenario,
        result.seed,
        result.digest,
        result.measures,
        result.unmet,
        result.is_whole,
        origin.code,
        origin.command,
    )
    files = {SUMMARY: msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n"}
    files["network.json"] = msgspec.json.encode(result.network) + b"\n"
    plots = list_plots(result) if has_matplotlib() else []
    files |= {f"{plot.name}.png": render_png(plot) for plot in plots}
    files["report.html"] = build_report(result, origin, plots).encode()
    written = [write_whole(folder / name, content) for name, content in files.items()]
    written += write_rows(folder / SAMPLES, [msgspec.structs.asdict(one) for one in result.samples])
    steps = [msgspec.structs.asdict(one) for one in result.steps]
    return written + write_rows(folder / "spreads.jsonl", steps)


def write_sweep(
    points: Sequence[Point], columns: Sequence[str], folder: Path, origin: Origin
) -> list[Path]:
    """Write the curves and the report of a sweep, and its runs as rows."""
    plots = list_curves(points, columns) if has_matplotlib() else []
    written = [write_whole(folder / f"{plot.name}.png", render_png(plot)) for plot in plots]
    report = build_sweep_report(points, columns, origin, plots)
    written.append(write_whole(folder / "report.html", report.encode()))
    rows = [
        {**run.at, "digest": run.digest, "broke": run.broke, **run.measures}
        for point in points
        for run in point.runs
    ]
    return written + write_rows(folder / "runs.jsonl", rows)


def write_rows(file: Path, rows: Sequence[dict[str, Any]]) -> list[Path]:
    """Write rows as JSON lines and, where pyarrow is, as Parquet beside; returns the files."""
    lines = b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
    written = [write_whole(file, lines)]
    try:
        from pyarrow import BufferOutputStream, Table, parquet
    except ImportError:
        return written
    content = BufferOutputStream()
    parquet.write_table(Table.from_pylist(list(rows)), content)
    return [*written, write_whole(file.with_suffix(".parquet"), content.getvalue().to_pybytes())]


def write_whole(file: Path, content: bytes) -> Path:
    """Write a file in place of what was there; whoever looks never finds half of it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.part")
    draft.write_bytes(content)
    return draft.replace(file)
