"""A completion streamed and paid through a real mesh, against the same engine called directly.

The provider is a process of its own with the model in its worker; requester and direct engine are
in this process. Each prompt goes to both, one right after the other and first to the one, then to
the other, so each sees a warm engine and the same machine; what is reported is the median of the
pairs' differences and ratios. The engine has one thread: with as many as cores it would fight the
node for one. The CPU time of both nodes, without the engine's, says what a busy machine hides.
"""

import statistics
import sys
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

import trio

from benchmarks.measuring import Result, begin, exact_cpu_seconds_of, report
from benchmarks.mesh import MODELS, PASSPHRASE, best_model, open_small_mesh
from p2p_modelex.cli.common import quiet_log
from p2p_modelex.core.effects import RunText
from p2p_modelex.engine.abc import Done, Engine, Piece
from p2p_modelex.engine.catalogue import Catalogue
from p2p_modelex.engine.registry import open_engine
from p2p_modelex.node.exchange import Exchange, build_request, connect
from p2p_modelex.records.advertisement import Kind
from p2p_modelex.records.job import Request

LONG_ROUNDS = 6
LONG_TOKENS = 64
BRIEF_ROUNDS = 16
BRIEF_TOKENS = 2
PROMPT = "Explain gravity to a child in two sentences."


@dataclass(frozen=True, slots=True)
class Streamed:
    """One completion: seconds to the first text and to the end, and its tokens.

    first_cpu_s, whole_cpu_s: what both nodes used by then, the engine's worker apart.
    """

    first_s: float
    whole_s: float
    tokens: int
    first_cpu_s: float = 0.0
    whole_cpu_s: float = 0.0

    @property
    def rate(self) -> float:
        """Tokens a second after the first text."""
        return self.tokens / (self.whole_s - self.first_s)

    @property
    def whole_rate(self) -> float:
        """Tokens a second from the question to the last text."""
        return self.tokens / self.whole_s


Pair = tuple[Streamed, Streamed]
"""Directly, and through the mesh."""


@dataclass(frozen=True, slots=True)
class Bench:
    """Both ways to a completion. provider: the node's process id."""

    engine: Engine
    exchange: Exchange
    provider: int
    model: str
    kind: Kind

    async def measure(self, rounds: int, tokens: int) -> list[Pair]:
        """Ask both for the same, in turns; the first of them warms up and is left out."""
        pairs = []
        for number in range(rounds + 1):
            # Another text each time, so that nobody has seen the whole prompt before.
            text = f"{PROMPT} ({tokens}.{number})"
            request = build_request(text, model=self.model, kind=self.kind, max_tokens=tokens)
            if number % 2:
                direct = await _stream_directly(self.engine, request)
                through = await self._stream_through(request)
            else:
                through = await self._stream_through(request)
                direct = await _stream_directly(self.engine, request)
            pairs.append((direct, through))
        return pairs[1:]

    async def _stream_through(self, request: Request) -> Streamed:
        cpu_before = self._read_cpu()
        began, first, first_cpu = time.perf_counter(), 0.0, 0.0
        completion = self.exchange.request(request)
        async for piece in completion:
            if isinstance(piece, RunText) and not first:
                first, first_cpu = time.perf_counter(), self._read_cpu()
        ended = time.perf_counter()
        assert completion.row is not None
        tokens = completion.row.receipt.receipt.completion_tokens
        return Streamed(
            first - began,
            ended - began,
            tokens,
            first_cpu - cpu_before,
            self._read_cpu() - cpu_before,
        )

    def _read_cpu(self) -> float:
        return time.process_time() + exact_cpu_seconds_of(self.provider)


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
    spec = Catalogue(MODELS).spec_for(model, engine="")
    async with (
        open_small_mesh(model) as mesh,
        connect(mesh.client.path, PASSPHRASE) as exchange,
        open_engine(replace(spec, threads=1)) as engine,
    ):
        bench = Bench(engine, exchange, mesh.provider, model, kind)
        brief = await bench.measure(BRIEF_ROUNDS, BRIEF_TOKENS)
        long = await bench.measure(LONG_ROUNDS, LONG_TOKENS)
        against = f"{engine.info.engine} called directly"
    _report_rate(model, against, long)
    _report_first(against, brief)


async def _stream_directly(engine: Engine, request: Request) -> Streamed:
    began, first, tokens = time.perf_counter(), 0.0, 0
    async with aclosing(engine.generate(request)) as outputs:
        async for output in outputs:
            if isinstance(output, Piece) and output.text:
                first = first or time.perf_counter()
            elif isinstance(output, Done):
                tokens = output.completion_tokens
    return Streamed(first - began, time.perf_counter() - began, tokens)


def _middle(pairs: list[Pair], figure: Callable[[Streamed, Streamed], float]) -> float:
    return statistics.median(figure(direct, through) for direct, through in pairs)


def _report_rate(model: str, against: str, pairs: list[Pair]) -> None:
    ratio = _middle(pairs, lambda direct, through: through.whole_rate / direct.whole_rate)
    after = _middle(pairs, lambda direct, through: through.rate / direct.rate)
    cpu_ms = _middle(pairs, lambda _, through: through.whole_cpu_s * 1e3 / through.tokens)
    report(
        Result(
            f"{model} through the mesh, signed and paid, {LONG_TOKENS} tokens",
            _middle(pairs, lambda _, through: through.whole_rate),
            "tokens/s",
            against,
            _middle(pairs, lambda direct, _: direct.whole_rate),
            ratio,
            ">= 95%",
            ratio >= 0.95,
            note=f"after the first text {after:.2f} of its rate; both nodes {cpu_ms:.2f} ms CPU "
            "a token",
        )
    )


def _report_first(against: str, pairs: list[Pair]) -> None:
    added = _middle(pairs, lambda direct, through: through.first_s - direct.first_s) * 1e3
    cpu_ms = _middle(pairs, lambda _, through: through.first_cpu_s) * 1e3
    report(
        Result(
            "  added before the first text",
            added,
            "ms",
            against,
            _middle(pairs, lambda direct, _: direct.first_s) * 1e3,
            None,
            "<= 15 ms",
            added <= 15,
            note=f"both nodes {cpu_ms:.1f} ms CPU by then",
        )
    )


if __name__ == "__main__":
    main()
