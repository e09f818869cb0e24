"""What the CPU engine takes for prefill and decode, as `engine_curve.py` says it of a GPU.

    python -m benchmarks.engine_curve_cpu curve.json     # needs the smollm2 model and xllamacpp

llama.cpp with one thread, in this process. Seconds are of CPU time, which a busy machine hardly
changes: one thread computes, and what the others use is small beside it.
"""

import json
import platform
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.mesh import MODELS

MODEL = "smollm2-135m-instruct"
SIZE = "smollm2-135m"
CONTEXT = 2048
SLOTS = 8
PROMPTS = (32, 128, 512, 1024)
BATCHES = (1, 2, 4, 8)
BEFORE = 64
"""Tokens of context before what decodes."""
STEPS = 32
REPEATS = 4
"""The least of so many counts: what shares the core can only add."""
WORDS = (1000, 40_000)
"""Ids of plain words of the vocabulary."""

Row = dict[str, float]


class Bench:
    """One server of llama.cpp, and random prompts."""

    def __init__(self, path: Path) -> None:
        import xllamacpp

        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(path)
        parameters.n_ctx, parameters.n_parallel = CONTEXT * SLOTS, SLOTS
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
        parameters.warmup = parameters.fit_params = parameters.ui = False
        parameters.verbosity = -1
        self._server: Any = xllamacpp.Server(parameters)
        self._rng = random.Random(1)  # noqa: S311  # the same prompts each time

    def measure(self, batch: int, prompt: int, tokens: int) -> float:
        """Return the CPU seconds of so many requests at once, of prompts that nobody has seen."""
        prompts = [[self._rng.randint(*WORDS) for _ in range(prompt)] for _ in range(batch)]
        began = time.process_time()
        threads = [threading.Thread(target=self._complete, args=(each, tokens)) for each in prompts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.process_time() - began

    def _complete(self, prompt: list[int], tokens: int) -> None:
        body = {"prompt": prompt, "max_tokens": tokens, "temperature": 0.0, "seed": 1}
        self._server.handle_completions(body | {"ignore_eos": True}, lambda _: False)

    def time_prompt(self, prompt: int) -> Row:
        """Return a point of prefill: what more of a prompt takes more."""
        base = min(self.measure(1, 1, 1) for _ in range(REPEATS))
        took = min(self.measure(1, prompt, 1) for _ in range(REPEATS))
        return {"batch": 0, "context": 0, "chunk": prompt, "seconds": took - base}

    def time_decode(self, batch: int) -> Row:
        """Return a point of decode: what more tokens take more, a step."""
        brief = min(self.measure(batch, BEFORE, 1) for _ in range(REPEATS))
        long = min(self.measure(batch, BEFORE, 1 + STEPS) for _ in range(REPEATS))
        middle = BEFORE + STEPS // 2
        return {"batch": batch, "context": middle, "chunk": 0, "seconds": (long - brief) / STEPS}


def main(out: Path) -> None:
    """Measure, and write what was measured."""
    bench = Bench(MODELS / f"{MODEL}.gguf")
    rows = {
        "prefill": [bench.time_prompt(prompt) for prompt in PROMPTS],
        "decode": [bench.time_decode(batch) for batch in BATCHES],
    }
    results = {"device": f"one thread, {platform.machine()}", "models": {SIZE: rows}}
    out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
