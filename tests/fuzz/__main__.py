"""Every target in turn under atheris, each for its share of the time: `make fuzz SECONDS=60`.

Prints what was run and found. Exit code 1 if an input made a target fail; such inputs are kept in
tests/fuzz/crashes/ (tests/fuzz/README.md says how to make a regression test of one).
"""

import argparse
import importlib.util
import re
import subprocess
import sys
import time
from dataclasses import dataclass

from tests.fuzz import places

# A crash ends libFuzzer; it is begun again until the target's time is up, but not for ever.
CRASHES_MAX = 10
INPUT_BYTES = 2048
# An input that takes longer, or more memory than this, counts as a crash.
TIMEOUT_S = 10
MEMORY_MIB = 1024

_STATUS = re.compile(r"^#(\d+)\s.*?(?:cov: (\d+) ft: (\d+))?(?: corp: (\d+))?", re.MULTILINE)
_COVERAGE = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)")
_ARTIFACT = re.compile(r"Test unit written to (\S+)")
_CAUSE = re.compile(
    r"^(?:\w+\.)*(\w+(?:Error|Exception|Input|Closed|Failed)): ?(.*)$", re.MULTILINE
)


@dataclass
class Result:
    """What became of one target."""

    name: str
    executions: int = 0
    wall_s: float = 0.0
    coverage: int = 0
    features: int = 0
    corpus: int = 0
    crashes: int = 0


def main() -> int:
    options = _parse()
    if importlib.util.find_spec("atheris") is None:
        _warn("modelex: atheris is missing; `make fuzz` installs it")
        return 2
    names = options.targets or places.target_names()
    share = max(1.0, options.seconds / len(names))
    results = []
    _say(_row("target", "executions", "exec/s", "edges", "features", "corpus", "crashes"))
    for name in names:
        result = fuzz(name, share)
        results.append(result)
        _say(_show(result))
    executions, wall = sum(r.executions for r in results), sum(r.wall_s for r in results)
    crashes = sum(r.crashes for r in results)
    _say(_row("all", str(executions), f"{executions / max(wall, 0.001):.0f}", "", "", "", crashes))
    if crashes:
        _warn(f"\n{crashes} inputs failed; they lie in {places.CRASHES}")
    return 1 if crashes else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="for all targets together")
    parser.add_argument("targets", nargs="*", help="names in tests/fuzz/targets; all if none")
    return parser.parse_args()


def fuzz(name: str, seconds: float) -> Result:
    """Fuzz one target; what it learns is kept in tests/fuzz/work/ for the next time."""
    result = Result(name)
    ends = time.monotonic() + seconds
    while result.crashes < CRASHES_MAX and (left := ends - time.monotonic()) >= 1:
        output = _run(name, max(1, int(left)))
        _count(result, output)
        artifact = _ARTIFACT.search(output)
        if artifact is None:
            break
        result.crashes += 1
        cause = _CAUSE.findall(output)
        _warn(f"{name}: {': '.join(cause[-1]) if cause else 'see'} ({artifact[1]})")
    return result


def _run(name: str, seconds: int) -> str:
    work, crashes = places.WORK / name, places.CRASHES / name
    work.mkdir(parents=True, exist_ok=True)
    crashes.mkdir(parents=True, exist_ok=True)
    folders = [str(work), *(str(folder) for folder in places.folders(name))]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.fuzz.drive", name),
            *(f"-max_total_time={seconds}", f"-max_len={INPUT_BYTES}", "-len_control=10"),
            f"-timeout={TIMEOUT_S}",
            *(f"-rss_limit_mb={MEMORY_MIB}", f"-artifact_prefix={crashes}/", *folders),
        ],
        capture_output=True,
        text=True,
        errors="replace",
        cwd=places.ROOT,
        check=False,
    )
    output = done.stdout + done.stderr
    if "#0" not in output and "INITED" not in output and "DONE" not in output:
        raise SystemExit(f"{name} does not start:\n{output[-2000:]}")
    return output


def _count(result: Result, output: str) -> None:
    counts = [int(number) for number, *_ in _STATUS.findall(output)]
    times = re.findall(r"Done \d+ runs in (\d+) second", output)
    rates = [int(rate) for rate in re.findall(r"exec/s: (\d+)", output) if rate != "0"]
    executions = max(counts, default=0)
    result.executions += executions
    result.wall_s += float(times[-1]) if times else executions / (rates[-1] if rates else 1000)
    for edges, features, corpus in _COVERAGE.findall(output)[-1:]:
        result.coverage, result.features = int(edges), int(features)
        result.corpus = int(corpus)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _warn(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _show(result: Result) -> str:
    rate = result.executions / max(result.wall_s, 0.001)
    return _row(
        result.name,
        str(result.executions),
        f"{rate:.0f}",
        str(result.coverage),
        str(result.features),
        str(result.corpus),
        result.crashes,
    )


def _row(name: str, *columns: object) -> str:
    return f"{name:<22}" + "".join(f"{column!s:>11}" for column in columns)


if __name__ == "__main__":
    sys.exit(main())
