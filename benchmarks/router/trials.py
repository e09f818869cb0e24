"""What a router is put through, each time beside the worker asked directly, which is subtracted.

An open loop of 100 requests a second, a closed loop of 32 connections, and 16 streams of a token
each 10 ms.
"""

import re
import statistics
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import trio

from benchmarks.load import OpenLoop, ask, build_request, build_schedule, connect
from benchmarks.measuring import percentile
from benchmarks.router.install import Missing
from benchmarks.router.machine import Spent, Watch
from benchmarks.router.servers import Bench
from benchmarks.router.static import STATIC, TIMED
from benchmarks.router.worker import Plan

CONNECTIONS = 32
STREAMS = 16
TOKENS = 64
PLAN = Plan(first_ms=20, step_ms=10)


@dataclass(frozen=True, slots=True)
class Effort:
    """How long each trial lasts, in seconds. rounds: of streams. tries: on a busy machine."""

    latency_s: float = 8.0
    saturate_s: int = 5
    rounds: int = 5
    tries: int = 2


QUICK = Effort(latency_s=2.0, saturate_s=2, rounds=2, tries=1)


@dataclass(frozen=True, slots=True)
class Latency:
    """p50_ms, p99_ms: added. cpu_us: of the router, for a request; behind_us: of what is behind."""

    p50_ms: float
    p99_ms: float
    cpu_us: float
    behind_us: float
    lost: int
    spent: Spent


@dataclass(frozen=True, slots=True)
class Ceiling:
    """rate: requests a second. share: of its core that the router used, so that one sees what the
    bottleneck was.
    """

    rate: float
    cpu_us: float
    share: float
    lost: int
    spent: Spent


@dataclass(frozen=True, slots=True)
class Streams:
    """first_ms: added to the first token. token_us: CPU of the router for a token."""

    first_ms: float
    token_us: float
    spent: Spent


@dataclass(frozen=True, slots=True)
class Target:
    """A router that runs. behind: processes that work for it elsewhere. rate: of the open loop."""

    name: str
    pid: int
    port: int
    rate: int = 100
    behind: tuple[int, ...] = ()


class _Measured(Protocol):
    @property
    def spent(self) -> Spent: ...


T = TypeVar("T", bound=_Measured)


async def measure_quietly(measure: Callable[[], Awaitable[T]], tries: int) -> T:
    """Measure until the machine was quiet, so many times at most; returns the quietest."""
    best = await measure()
    for _ in range(tries - 1):
        if best.spent.is_quiet:
            break
        best = min(best, await measure(), key=lambda one: one.spent.others)
    return best


@dataclass(frozen=True, slots=True)
class Trials:
    """What a router is put through. static, timed: ports of the workers, to be asked directly."""

    bench: Bench
    effort: Effort
    static: int
    timed: int

    async def time_requests(self, target: Target) -> Latency:
        """The open loop: directly, then through the router."""
        schedule = build_schedule(build_request(STATIC), target.rate, self.effort.latency_s)
        direct = await OpenLoop(self.static).run(schedule)
        watch = Watch(target.pid, *target.behind)
        through = await OpenLoop(target.port).run(schedule)
        spent = watch.read()
        whole = [[one.whole_s * 1000 for one in found] for found in (direct, through)]
        p50, p99 = (
            percentile(whole[1], share) - percentile(whole[0], share) for share in (0.5, 0.99)
        )
        router_s, *behind_s = spent.cpu_s
        lost = sum(not one.is_good for one in through)
        count = len(through)
        return Latency(p50, p99, router_s / count * 1e6, sum(behind_s) / count * 1e6, lost, spent)

    async def saturate(self, target: Target) -> Ceiling:
        """The closed loop, by wrk."""
        watch = Watch(target.pid)
        count, rate, lost = await self._run_wrk(target.port)
        spent = watch.read()
        cpu_s = spent.cpu_s[0]
        return Ceiling(rate, cpu_s / max(count, 1) * 1e6, cpu_s / spent.wall_s, lost, spent)

    async def _run_wrk(self, port: int) -> tuple[int, float, int]:
        if "wrk" not in self.bench.programs:
            raise Missing("no wrk to make the load")
        head, _, body = build_request(STATIC).decode().partition("\r\n\r\n")
        script = self.bench.folder / "wrk.lua"
        script.write_text(_write_lua(head.split("\r\n")[1:], body), encoding="utf-8")
        where = ["-s", str(script), f"http://127.0.0.1:{port}/v1/chat/completions"]
        load = ["-t1", f"-c{CONNECTIONS}", f"-d{self.effort.saturate_s}s", *where]
        command = [*self.bench.programs["wrk"].command, *load]
        done = await trio.run_process(
            self.bench.cores.pin(self.bench.cores.load, command),
            capture_stdout=True,
            stderr=subprocess.STDOUT,
        )
        return read_wrk(done.stdout.decode())

    async def stream(self, target: Target) -> Streams:
        """The streams: directly, then through the router."""
        direct = await self._stream_all(self.timed)
        watch = Watch(target.pid)
        through = await self._stream_all(target.port)
        spent = watch.read()
        tokens = len(through) * TOKENS
        first_s = statistics.median(through) - statistics.median(direct)
        return Streams(first_s * 1000, spent.cpu_s[0] / tokens * 1e6, spent)

    async def _stream_all(self, port: int) -> list[float]:
        """Return the seconds to the first token of each stream."""
        request = build_request(TIMED, tokens=TOKENS, is_stream=True)
        firsts = []

        async def follow(number: int) -> None:
            # Not all at once: tokens are then spread over the 10 ms.
            await trio.sleep(number * PLAN.step_ms / STREAMS / 1000)
            async with connect(port) as connection:
                for _ in range(self.effort.rounds):
                    began_s = trio.current_time()
                    answer = await ask(connection, request)
                    if answer.status != 200 or b"[DONE]" not in answer.body:
                        raise Missing(f"a stream failed: {answer.body[-200:]!r}")
                    firsts.append(answer.first_s - began_s)

        async with trio.open_nursery() as nursery:
            for number in range(STREAMS):
                nursery.start_soon(follow, number)
        return firsts


def _write_lua(headers: Sequence[str], body: str) -> str:
    """Return wrk's script; of the headers it sets the length itself."""
    pairs = (line.partition(": ") for line in headers if not line.startswith("Content-Length"))
    lines = [f"wrk.headers[{name!r}] = {value!r}" for name, _, value in pairs]
    return "\n".join(['wrk.method = "POST"', f"wrk.body = [==[{body}]==]", *lines, ""])


_WRK_COUNT = re.compile(r"(\d+) requests in")
_WRK_RATE = re.compile(r"Requests/sec:\s*([\d.]+)")
_WRK_LOST = re.compile(r"Non-2xx or 3xx responses: (\d+)")


def read_wrk(report: str) -> tuple[int, float, int]:
    """Return what wrk says: requests, requests a second, and how many were not answered well."""
    count, rate, lost = (found.search(report) for found in (_WRK_COUNT, _WRK_RATE, _WRK_LOST))
    if count is None or rate is None:
        raise Missing(f"wrk says nothing of its rate: {report[-200:]}")
    return int(count[1]), float(rate[1]), int(lost[1]) if lost else 0
