"""What is done to whom and when, all drawn from one seed."""

import random
from dataclasses import dataclass
from itertools import product
from typing import Literal

Kind = Literal["kill", "stop"]

JOBS_PER_BLOW = 6
PAUSE_MAX_MS = 400
BACK_MAX_MS = 1500
STOP_MIN_MS, STOP_MAX_MS = 200, 4000
LONG_STOP_MS = 17_000
"""Over the protocol's PAY_TIMEOUT_MS and over the RPC's timeout."""
LONG_STOP_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Blow:
    """One signal. after: jobs begun in all. pause_ms: and then so long, to hit any moment of one.

    lasts_ms: until a killed process is started again, or a stopped one goes on.
    """

    after: int
    pause_ms: int
    name: str
    kind: Kind
    lasts_ms: int

    def __str__(self) -> str:
        what = "kill -9" if self.kind == "kill" else "SIGSTOP"
        return (
            f"after {self.after} jobs and {self.pause_ms} ms: {what} {self.name}, "
            f"back after {self.lasts_ms} ms"
        )


def build_schedule(seed: int, jobs: int, names: tuple[str, ...]) -> list[Blow]:
    """Every process is killed once and stopped once at least, in jobs before the last tenth."""
    rng = random.Random(seed)
    pairs: list[tuple[str, Kind]] = list(product(names, ("kill", "stop")))
    wanted = max(len(pairs), jobs // JOBS_PER_BLOW)
    pairs += [rng.choice(pairs) for _ in range(wanted - len(pairs))]
    blows = [_draw(rng, jobs, name, kind) for name, kind in pairs]
    return sorted(blows, key=lambda blow: (blow.after, blow.pause_ms))


def _draw(rng: random.Random, jobs: int, name: str, kind: Kind) -> Blow:
    after, pause_ms = rng.randint(2, max(2, jobs * 9 // 10)), rng.randint(0, PAUSE_MAX_MS)
    if kind == "kill":
        lasts_ms = rng.randint(0, BACK_MAX_MS)
    elif rng.random() < LONG_STOP_SHARE:
        lasts_ms = LONG_STOP_MS
    else:
        lasts_ms = rng.randint(STOP_MIN_MS, STOP_MAX_MS)
    return Blow(after, pause_ms, name, kind, lasts_ms)
