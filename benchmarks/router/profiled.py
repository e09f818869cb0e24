"""`modelex`, with a sampling profiler that SIGUSR1 begins and a second one ends.

    python -m benchmarks.router.profiled FILE gateway --home ...

What it saw is then in FILE: samples by the innermost module of ours, as JSON.
"""

import signal
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import FrameType, MappingProxyType

import msgspec

from benchmarks.sampling import Samples, sampling
from p2p_modelex.cli import main as run_modelex

LAYERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "HTTP in": ("node/gateway/",),
        "HTTP out": ("kept", "engine/upstream/"),
        "engine": ("engine/",),
        "routing": ("core/routing/", "core/choosing", "core/wants", "core/directory/"),
        "exchange": ("core/exchange/", "core/buying", "core/selling", "core/runs", "core/node"),
        "money and signatures": ("core/ledger/", "core/funding", "records/", "keys/"),
        "network": ("net/",),
        "store": ("store/",),
        "chain": ("chain/",),
        "driver": ("node/", "core/"),
    }
)
"""Layers of a node, and the beginnings of their modules' names; the first that fits counts."""

OTHER = "Trio and the rest"


def layer_of(module: str) -> str:
    """Return the layer that a module belongs to."""
    found = (layer for layer, begins in LAYERS.items() if module.startswith(begins))
    return next(found, OTHER)


def share_by_layer(samples: Mapping[str, int]) -> dict[str, float]:
    """Return each layer's share of the samples, the largest first."""
    total = sum(samples.values())
    shares: dict[str, float] = {}
    for module, count in samples.items():
        layer = layer_of(module)
        shares[layer] = shares.get(layer, 0.0) + count / total
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


class _Toggle:
    def __init__(self, file: Path) -> None:
        self._file = file
        self._samples: Samples | None = None
        self._stack = ExitStack()

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._samples is None:
            self._samples = self._stack.enter_context(sampling())
            return
        self._stack.close()
        draft = self._file.with_suffix(".part")
        draft.write_bytes(msgspec.json.encode(dict(self._samples.ours)))
        draft.replace(self._file)
        self._samples = None


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, _Toggle(Path(sys.argv.pop(1))).on_signal)
    run_modelex()
