"""What a command costs before it does anything: `--help`, and the imports of a node by package."""

import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
from collections import Counter

from benchmarks.measuring import Result, begin, report

REPEATS = 7
_LINE = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \|(\s+)(\S+)")
NODE = (
    "import p2p_modelex.node.exchange, p2p_modelex.chain.evm.port, p2p_modelex.net.libp2p.network"
)
"""What `modelex nodes` and `modelex run` import: the node, the chain, the network."""


def main() -> None:
    """Report the start-up of the command, of a node's imports, and which packages dominate."""
    begin()
    with tempfile.TemporaryDirectory(prefix="modelex-benchmark-") as folder:
        # As pip leaves an installation: with bytecode. Without, `--help` takes twice as long.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = folder
        os.environ["PYTHONWARNINGS"] = "ignore"
        _report_all()


def _report_all() -> None:
    bare = _median_cpu("-c", "pass")
    shown = _median_cpu("-m", "p2p_modelex", "--help")
    report(
        Result(
            "modelex --help",
            shown * 1000,
            "ms CPU",
            "python -c pass",
            bare * 1000,
            shown / bare,
            "<= 150 ms",
            shown <= 0.15,
        )
    )
    whole = _median_cpu("-c", NODE)
    report(
        Result(
            "imports of `modelex nodes`",
            whole * 1000,
            "ms CPU",
            "python -c pass",
            bare * 1000,
            whole / bare,
            note=", ".join(f"{name} {share:.0%}" for name, share in _split_imports()),
        )
    )


def _median_cpu(*arguments: str) -> float:
    """Return the CPU seconds of a Python process, the median of several after one to warm up."""
    _cpu_of(*arguments)
    return statistics.median(_cpu_of(*arguments) for _ in range(REPEATS))


def _cpu_of(*arguments: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def _split_imports() -> list[tuple[str, float]]:
    """Return the packages that take most of the import time, their own modules only."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", NODE],
        capture_output=True,
        text=True,
        check=True,
    )
    own: Counter[str] = Counter()
    for line in done.stderr.splitlines():
        if found := _LINE.match(line):
            own[found[4].partition(".")[0]] += int(found[1])
    total = own.total()
    return [(name, number / total) for name, number in own.most_common(8)]


if __name__ == "__main__":
    main()
