"""The simulator's model of engines against what was measured, and the parameters that fit best.

    python -m benchmarks.engine_fit            # devices.toml as it is, against benchmarks/curves/
    python -m benchmarks.engine_fit --fit      # parameters for it

Curves are what `engine_curve.py` and `engine_curve_cpu.py` wrote. A fit walks down the mean of how
far off each point is, as a factor, parameter by parameter; it is the same on any machine.
"""

import json
import math
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from p2p_modelex.simulation.models.pace import DEVICES, SIZES, Device, Roofline, Step
from p2p_modelex.simulation.scenario.settings import Engine

CURVES = Path(__file__).parent / "curves"
KINDS = ("prefill", "decode", "contexts", "chunked")
FITTED = ("flops", "decode_flops", "bandwidth", "kv_bandwidth", "layer_us")
OVERLAPS = tuple(number / 10 for number in range(11))
ROUNDS = 60


class Point(NamedTuple):
    """One measured step."""

    size: str
    kind: str
    step: Step
    seconds: float


def read_points(device: str) -> list[Point]:
    """Return what was measured of a device."""
    curve = json.loads((CURVES / f"{device}.json").read_text(encoding="utf-8"))
    return [
        Point(size, kind, _step_of(row), row["seconds"])
        for size, rows in curve["models"].items()
        for kind in KINDS
        for row in rows.get(kind, ())
    ]


def _step_of(row: dict[str, float]) -> Step:
    batch, chunk = int(row["batch"]), int(row["chunk"])
    context = batch * int(row["context"])
    return Step(batch + (chunk > 0), batch, context, chunk, chunk * chunk // 2)


def compute_factors(device: Device, points: list[Point]) -> Iterator[float]:
    """Return simulated over measured, for each point."""
    paces = {size: Roofline(Engine(), device, SIZES[size]) for size in {one.size for one in points}}
    return (paces[one.size].compute_s(one.step) / one.seconds for one in points)


def compute_error(device: Device, points: list[Point]) -> float:
    """Return how far off the model is in the mean."""
    return statistics.mean(abs(math.log(factor)) for factor in compute_factors(device, points))


def fit(device: Device, points: list[Point]) -> Device:
    """Return the parameters that fit best, from where `device` is."""
    best = min((_fit_at(device, points, overlap) for overlap in OVERLAPS), key=lambda one: one[0])
    return best[1]


def _fit_at(device: Device, points: list[Point], overlap: float) -> tuple[float, Device]:
    device = msgspec.structs.replace(device, overlap=overlap)
    error, stride = compute_error(device, points), 1.5
    for _ in range(ROUNDS):
        before = error
        for name in FITTED:
            for factor in (stride, 1 / stride):
                value = getattr(device, name) * factor
                moved = msgspec.structs.replace(device, **{name: value})
                found = compute_error(moved, points)
                if found < error:
                    error, device = found, moved
        if error == before:
            stride = 1 + (stride - 1) / 2
    return error, device


def main(arguments: list[str]) -> None:
    """Print how far off the model is, and with --fit what would be nearer."""
    for path in sorted(CURVES.glob("*.json")):
        device, points = DEVICES[path.stem], read_points(path.stem)
        if "--fit" in arguments:
            device = fit(device, points)
            values = "".join(f"{name} = {getattr(device, name):.4g}\n" for name in FITTED)
            sys.stdout.write(f"[device.{path.stem}]\noverlap = {device.overlap}\n{values}")
        sys.stdout.write("".join(f"{row}\n" for row in _build_rows(path.stem, device, points)))


def _build_rows(name: str, device: Device, points: list[Point]) -> Iterator[str]:
    yield "| device, model, what | points | simulated / measured: median | least | most |"
    yield "|---|---|---|---|---|"
    factors = list(compute_factors(device, points))
    for size, kind in dict.fromkeys((one.size, one.kind) for one in points):
        pairs = zip(points, factors, strict=True)
        found = [factor for one, factor in pairs if (one.size, one.kind) == (size, kind)]
        middle, least, most = statistics.median(found), min(found), max(found)
        yield f"| {name}, {size}, {kind} | {len(found)} | {middle:.2f} | {least:.2f} | {most:.2f} |"


if __name__ == "__main__":
    main(sys.argv[1:])
