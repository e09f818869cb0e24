"""A completion streamed and paid through a real mesh, against the same engine called directly.

The provider is a process of its own with the model in its worker; requester and direct engine are
in this process. They take turns, so each sees a warm engine and the same machine.
"""

import statistics
import sys
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

import trio

from benchmarks.measuring import Result, begin, cpu_seconds_of, report
from benchmarks.mesh import MODELS, PASSPHRASE, best_model, open_small_mesh
from p2p_modelex.cli.common import quiet_log
from p2p_modelex.core.effects import RunText
from p2p_modelex.engine.abc import Done, Engine, Piece
from p2p_modelex.engine.catalogue import Catalogue
from p2p_modelex.engine.registry import open_engine
from p2p_modelex.node.exchange import Exchange, build_request, connect
from p2p_modelex.records.job import Request

ROUNDS = 5
TOKENS = 64
PROMPT = "Explain gravity to a child in two sentences."


@dataclass(frozen=True, slots=True)
class Streamed:
    """One completion: seconds to the first text and to the end, and its tokens."""

    first_s: float
    whole_s: float
    tokens: int

    @property
    def rate(self) -> float:
        """Tokens a second after the first text."""
        return self.tokens / (self.whole_s - self.first_s)

    @property
    def whole_rate(self) -> float:
        """Tokens a second from the question to the last text."""
        return self.tokens / self.whole_s


def main() -> None:
    """Report what the mesh takes of the engine's rate, and what it adds before the first token."""
    begin()
    model = best_model()
    if model is None:
        sys.stderr.write(f"there is no model in {MODELS}: run `modelex demo` once\n")
        return
    trio.run(_run, model)


async def _run(model: str) -> None:

    quiet_log()
    kinds = Catalogue(MODELS).get(model).kinds
    kind = "chat" if "chat" in kinds else kinds[0]
    # Another text each round, so that nobody has seen the whole prompt before.
    requests = [
        build_request(f"{PROMPT} ({number})", model=model, kind=kind, max_tokens=TOKENS)
        for number in range(ROUNDS + 1)
    ]
    spec = Catalogue(MODELS).spec_for(model, engine="")

    async with (
        open_small_mesh(model) as mesh,
        connect(mesh.client.path, PASSPHRASE) as exchange,
        open_engine(replace(spec, threads=1)) as engine,
    ):
        runs = []
        cpu_s = 0.0
        for request in requests:
            direct_one = await _stream_directly(engine, request)
            before = time.process_time() + cpu_seconds_of(mesh.provider)
            runs.append((direct_one, await _stream_through(exchange, request)))
            cpu_s += time.process_time() + cpu_seconds_of(mesh.provider) - before
    warm = runs[1:]
    direct, through = [pair[0] for pair in warm], [pair[1] for pair in warm]
    cpu_ms = cpu_s * 1e3 / sum(pair[1].tokens for pair in runs)
    _report(model, engine.info.engine, direct, through, cpu_ms)


async def _stream_directly(engine: Engine, request: Request) -> Streamed:
    began, first, tokens = time.perf_counter(), 0.0, 0
    async with aclosing(engine.generate(request)) as outputs:
        async for output in outputs:
            if isinstance(output, Piece) and output.text:
                first = first or time.perf_counter()
            elif isinstance(output, Done):
                tokens = output.completion_tokens
    return Streamed(first - began, time.perf_counter() - began, tokens)


async def _stream_through(exchange: Exchange, request: Request) -> Streamed:
    began, first = time.perf_counter(), 0.0
    completion = exchange.request(request)
    async for piece in completion:
        if isinstance(piece, RunText):
            first = first or time.perf_counter()
    ended = time.perf_counter()
    assert completion.row is not None
    tokens = completion.row.receipt.receipt.completion_tokens
    return Streamed(first - began, ended - began, tokens)


def _report(
    model: str, engine: str, direct: list[Streamed], through: list[Streamed], cpu_ms: float
) -> None:
    """Report both rows; cpu_ms: of the two nodes for each token, the engine's worker apart."""

    def middle(runs: list[Streamed], figure: Callable[[Streamed], float]) -> float:
        return statistics.median(figure(run) for run in runs)

    limit = middle(direct, lambda run: run.whole_rate)
    rate = middle(through, lambda run: run.whole_rate)
    added = (
        middle(through, lambda run: run.first_s) - middle(direct, lambda run: run.first_s)
    ) * 1e3
    against = f"{engine} called directly"
    report(
        Result(
            f"{model} through the mesh, signed and paid, {TOKENS} tokens",
            rate,
            "tokens/s",
            against,
            limit,
            rate / limit,
            ">= 95%",
            rate / limit >= 0.95,
            note=f"after the first text {middle(through, lambda run: run.rate):.1f} against "
            f"{middle(direct, lambda run: run.rate):.1f} tokens/s; both nodes {cpu_ms:.2f} ms CPU "
            "a token",
        )
    )
    report(
        Result(
            "  added before the first text",
            added,
            "ms",
            against,
            middle(direct, lambda run: run.first_s) * 1e3,
            None,
            "<= 15 ms",
            added <= 15,
        )
    )


if __name__ == "__main__":
    main()
