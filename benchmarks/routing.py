"""A routing decision among few and many: filters, draw, scores and order, without the network."""

import gc
import statistics
import time
from typing import Any

from benchmarks.measuring import Result, begin, report
from p2p_modelex.core.routing.profile import PROFILES
from tests.core.mesh import Mesh, Stage, peer
from tests.core.routing.scene import NOW, load

SIZES = (100, 1_000, 10_000, 100_000)
ROUNDS = 7
DECISIONS = 100
LARGE = 10_000
TARGET_US = 1_000
KNOWN = 16


def main() -> None:
    """Decide in meshes of every size with every profile, and as before: by looking at everybody."""
    begin()
    for size in SIZES:
        mesh = Mesh(size)
        for profile in PROFILES:
            stage = _prepare(mesh, profile)
            spent_us = _measure(stage, DECISIONS)
            is_aimed = size == LARGE and profile == "default"
            report(
                Result(
                    f"a decision among {size:,} providers of a model, `{profile}`",
                    spent_us,
                    "us CPU",
                    target=f"<= {TARGET_US} us" if is_aimed else "",
                    is_met=spent_us <= TARGET_US if is_aimed else None,
                    note=f"{mesh.looked_at} looked at",
                )
            )
        everybody_us = _measure(_prepare(mesh, "default"), 1, max_prompt_price=0)
        report(
            Result(
                f"  and to say why none of {size:,} will do (looks at all)", everybody_us, "us CPU"
            )
        )


def _prepare(mesh: Mesh, profile: str) -> Stage:
    """Loads are known of a few, as they are where requests come one after the other."""
    stage = Stage(mesh, profile)
    for number in range(1, KNOWN + 1):
        stage.loads.put(peer(number), load(number % 4, latency_ms=50 + number), NOW)
    return stage


def _measure(stage: Stage, decisions: int, **want: Any) -> float:
    """Return the median CPU microseconds of a look and a ranking."""
    spent = []
    gc.collect()
    for _ in range(ROUNDS):
        began = time.process_time_ns()
        for number in range(decisions):
            look = stage.look(prefix=(number * 2**50).to_bytes(8, "big"), **want)
            stage.choosing.rank(look, look.want, NOW)
        spent.append((time.process_time_ns() - began) / decisions / 1000)
    return statistics.median(spent)


if __name__ == "__main__":
    main()
