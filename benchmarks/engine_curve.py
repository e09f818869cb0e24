"""What a GPU takes for prefill and decode: what the simulator's model of engines is fitted to.

    python engine_curve.py --out curve.json          # on the GPU's machine: torch and nothing else
    python engine_curve.py --device cpu --shapes tiny --out curve.json

Models of random weights in the shape of Llama 3 (without rotary positions, which engines fuse into
other work), made on the device; KV caches in place; each step
a CUDA graph, as engines run them, so that launches do not count. Every point is the median of
several timings by CUDA events after a warm-up. A point that the time limit or the memory does not
allow is left out, and the file has all that were measured before. Imports nothing of this project:
it is copied to machines that have only torch.
"""

import argparse
import faulthandler
import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

LIMIT_S = 220.0
"""No new point after it; the process ends HARD_S later whatever it does."""
HARD_S = 15.0
REPEATS = 9
POINT_S = 0.6
"""A point is repeated for so long at most, but for the first two."""
BURST_S = 0.05
BURST_MAX = 20
KV_BYTES_MAX = 24 * 2**30
PROMPTS = (128, 256, 512, 1024, 2048, 4096, 8192)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
CONTEXTS = (512, 1024, 2048, 4096, 8192)
CONTEXT = 1024
"""Of the points that vary the batch, and of those with a chunk."""
CONTEXT_BATCHES = (1, 16)
CHUNKS = (64, 128, 256, 512, 1024, 2048)
CHUNK_BATCHES = (8, 32)

Row = dict[str, float]


@dataclass(frozen=True)
class Shape:
    """A model's sizes. head: of one head; kv: heads of keys and values."""

    layers: int
    hidden: int
    heads: int
    kv: int
    head: int
    feed: int
    words: int


SHAPES = {
    "llama-3-8b": Shape(32, 4096, 32, 8, 128, 14336, 128256),
    "llama-3-1b": Shape(16, 2048, 32, 8, 64, 8192, 128256),
    "tiny": Shape(2, 64, 4, 2, 16, 128, 512),
}


@dataclass
class Layer:
    """One layer's weights."""

    qkv: Any
    out: Any
    gate_up: Any
    down: Any
    norms: Any


class Model:
    """Random weights, and a step over a batch that decodes and a chunk of a prompt."""

    def __init__(self, shape: Shape, device: str) -> None:
        self.shape = shape
        self._device = device
        s = shape
        self.layers = [
            Layer(
                self._draw((s.heads + 2 * s.kv) * s.head, s.hidden),
                self._draw(s.hidden, s.heads * s.head),
                self._draw(2 * s.feed, s.hidden),
                self._draw(s.hidden, s.feed),
                torch.ones(2, s.hidden, dtype=torch.bfloat16, device=device),
            )
            for _ in range(s.layers)
        ]
        self.words = self._draw(s.words, s.hidden)
        self.head = self._draw(s.words, s.hidden)

    def _draw(self, *sizes: int) -> Any:
        drawn = torch.empty(*sizes, dtype=torch.bfloat16, device=self._device)
        return drawn.normal_(0.0, 1.0 / math.sqrt(sizes[-1]))

    def tensors(self) -> list[Any]:
        """All weights."""
        each = [(layer.qkv, layer.out, layer.gate_up, layer.down) for layer in self.layers]
        return [tensor for layer in each for tensor in layer] + [self.words, self.head]

    def make_cache(self, batch: int, context: int) -> Any:
        """Keys and values of a batch: (layer, key or value, sequence, head, place, size)."""
        s = self.shape
        sizes = (s.layers, 2, batch, s.kv, context, s.head)
        return torch.empty(sizes, dtype=torch.bfloat16, device=self._device).normal_()

    def step(self, tokens: Any, cache: Any | None, chunk: int) -> Any:
        """One step: the first rows of `tokens` are one each of the batch, at the last place of the
        cache; the last `chunk` are a prompt's. Returns the next tokens: greedy.
        """
        x = functional.embedding(tokens, self.words)
        size = (self.shape.hidden,)
        for number, layer in enumerate(self.layers):
            normal = functional.rms_norm(x, size, layer.norms[0])
            x = x + self._attend(normal, layer, None if cache is None else cache[number], chunk)
            normal = functional.rms_norm(x, size, layer.norms[1])
            gate, up = functional.linear(normal, layer.gate_up).chunk(2, dim=-1)
            x = x + functional.linear(functional.silu(gate) * up, layer.down)
        # Of a chunk only the last token's word is wanted.
        last = torch.cat((x[: len(x) - chunk], x[-1:])) if chunk else x
        return functional.linear(last, self.head).argmax(dim=-1)

    def _attend(self, x: Any, layer: Layer, cache: Any | None, chunk: int) -> Any:
        s = self.shape
        sizes = (s.heads * s.head, s.kv * s.head, s.kv * s.head)
        q, k, v = functional.linear(x, layer.qkv).split(sizes, dim=-1)
        batch = len(x) - chunk
        seen = []
        if cache is not None:
            k_one, v_one = (each[:batch].view(batch, s.kv, 1, s.head) for each in (k, v))
            cache[0][:, :, -1:], cache[1][:, :, -1:] = k_one, v_one
            # The queries that share a head of keys go as so many places: each sees everything.
            grouped = q[:batch].view(batch, s.kv, s.heads // s.kv, s.head)
            attended = functional.scaled_dot_product_attention(grouped, cache[0], cache[1])
            seen.append(attended.reshape(batch, -1))
        if chunk:
            heads = [each[batch:].view(1, chunk, -1, s.head).transpose(1, 2) for each in (q, k, v)]
            attended = functional.scaled_dot_product_attention(
                *heads, is_causal=True, enable_gqa=True
            )
            seen.append(attended.transpose(1, 2).reshape(chunk, -1))
        return functional.linear(torch.cat(seen), layer.out)


class Bench:
    """Times steps on one device, until the limit."""

    def __init__(self, device: str, out: Path, limit_s: float) -> None:
        self.device = device
        self.is_cuda = device.startswith("cuda")
        self._out = out
        self._began = time.monotonic()
        self._limit_s = limit_s
        self.results: dict[str, Any] = {"device": self._name(), "torch": torch.__version__}

    def _name(self) -> str:
        return torch.cuda.get_device_name() if self.is_cuda else "cpu"

    @property
    def is_late(self) -> bool:
        """Whether the limit is over."""
        return self._took_s > self._limit_s

    @property
    def _took_s(self) -> float:
        return time.monotonic() - self._began

    def say(self, text: str) -> None:
        """Print progress, and keep what there is."""
        sys.stdout.write(f"{self._took_s:6.1f} s  {text}\n")
        sys.stdout.flush()
        self.results["took_s"] = round(self._took_s, 1)
        self._out.write_text(json.dumps(self.results, indent=1) + "\n", encoding="utf-8")

    def time_work(self, work: Callable[[], Any]) -> float:
        """Return the median seconds of `work`, after a warm-up."""
        timed: list[float] = []
        # Several in a row: what launching one takes is then hidden behind the one before.
        burst = max(1, min(BURST_MAX, int(BURST_S / max(self._time_burst(work, 2), 1e-6))))
        until = time.monotonic() + POINT_S
        while len(timed) < REPEATS and (len(timed) < 2 or time.monotonic() < until):
            timed.append(self._time_burst(work, burst))
        return statistics.median(timed)

    def _time_burst(self, work: Callable[[], Any], times: int) -> float:
        if not self.is_cuda:
            begins = time.perf_counter()
            for _ in range(times):
                work()
            return (time.perf_counter() - begins) / times
        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        before.record()
        for _ in range(times):
            work()
        after.record()
        after.synchronize()
        return float(before.elapsed_time(after)) / 1000.0 / times

    def capture(self, work: Callable[[], Any]) -> Callable[[], Any]:
        """Return `work` as a graph's replay; itself on a CPU."""
        if not self.is_cuda:
            return work
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):
                work()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            work()
        return graph.replay  # type: ignore[no-any-return]


def measure_ceilings(bench: Bench) -> None:
    """How fast the device multiplies, copies (read and written bytes), and takes in weights."""
    size, buffer = (8192, 2**30) if bench.is_cuda else (512, 2**22)
    left, right = (
        torch.randn(size, size, device=bench.device, dtype=torch.bfloat16) for _ in range(2)
    )
    multiplied = bench.time_work(lambda: left @ right)
    source = torch.randint(0, 255, (buffer,), device=bench.device, dtype=torch.uint8)
    target = torch.empty_like(source)
    copied = bench.time_work(lambda: target.copy_(source))
    pageable = torch.randint(0, 255, (buffer,), dtype=torch.uint8)
    pinned = pageable.pin_memory() if bench.is_cuda else pageable
    bench.results["ceilings"] = {
        "flops": 2 * size**3 / multiplied,
        "copied_bytes_per_s": 2 * buffer / copied,
        "loaded_pinned_bytes_per_s": buffer / bench.time_work(lambda: target.copy_(pinned)),
        "loaded_pageable_bytes_per_s": buffer / bench.time_work(lambda: target.copy_(pageable)),
    }
    bench.say(f"ceilings {bench.results['ceilings']}")


def measure_step(bench: Bench, model: Model, batch: int, context: int, chunk: int) -> Row | None:
    """Return one point; None where the limit or the memory does not allow it."""
    s = model.shape
    kv_bytes = 4 * s.layers * s.kv * s.head
    if bench.is_late or batch * context * kv_bytes > KV_BYTES_MAX:
        return None
    if bench.is_cuda:
        torch.cuda.empty_cache()  # of the graph before
    try:
        cache = model.make_cache(batch, context) if batch else None
        tokens = torch.randint(0, s.words, (batch + chunk,), device=bench.device)
        seconds = bench.time_work(bench.capture(lambda: model.step(tokens, cache, chunk)))
    except torch.OutOfMemoryError:
        return None
    bench.say(f"batch {batch:4} context {context:5} chunk {chunk:5}: {seconds * 1000:9.3f} ms")
    return {"batch": batch, "context": context, "chunk": chunk, "seconds": seconds}


def measure_model(bench: Bench, name: str, most: int) -> None:
    """Every point of one model. most: tokens of a prompt, or of a context, or sequences."""
    model = Model(SHAPES[name], bench.device)
    weights = sum(tensor.numel() * tensor.element_size() for tensor in model.tensors())
    s = model.shape
    cache = model.make_cache(1, 16)
    result: dict[str, Any] = {
        "shape": asdict(s),
        "weight_bytes": weights,
        "kv_bytes_per_token": cache.numel() * cache.element_size() // 16,
    }
    bench.results.setdefault("models", {})[name] = result
    bench.say(f"{name}: {weights / 2**30:.2f} GiB of weights")
    context = min(CONTEXT, most)
    plans = {
        "prefill": [(0, 0, prompt) for prompt in PROMPTS],
        "decode": [(batch, context, 0) for batch in BATCHES],
        "contexts": [(batch, length, 0) for batch in CONTEXT_BATCHES for length in CONTEXTS],
        "chunked": [(batch, context, chunk) for batch in CHUNK_BATCHES for chunk in CHUNKS],
    }
    for kind, points in plans.items():
        wanted = [point for point in points if max(point) <= most]
        rows = [measure_step(bench, model, *point) for point in wanted]
        result[kind] = [row for row in rows if row is not None]
    bench.say(f"{name}: done")


def main() -> None:
    """Measure, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda")
    names = list(SHAPES)
    parser.add_argument("--shapes", nargs="+", choices=names, default=names[:2])
    parser.add_argument("--limit", type=float, default=LIMIT_S, help="seconds")
    parser.add_argument("--most", type=int, default=8192, help="tokens of the longest prompt")
    chosen = parser.parse_args()
    # Its own thread, which a kernel that hangs does not stop.
    faulthandler.dump_traceback_later(chosen.limit + HARD_S, exit=True)
    bench = Bench(chosen.device, chosen.out, chosen.limit)
    with torch.inference_mode():
        measure_ceilings(bench)
        for name in chosen.shapes:
            measure_model(bench, name, chosen.most)
    bench.say("done")


if __name__ == "__main__":
    main()
