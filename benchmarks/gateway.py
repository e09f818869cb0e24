"""The gateway: what it adds to a request and to a streamed token.

Five servers take the same load in turn, each in a process of its own: a bare h11 echo (the
floor of HTTP in Python on Trio), the gateway in front of an engine of its own node that answers at
once, a server of the OpenAI API that does so as a stream, the gateway in front of that server (HTTP
in, HTTP out), and the gateway in front of a mesh in memory, where each request is a job that is
ordered, signed, paid and receipted, provider's end included.
"""

import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import h11
import msgspec
import trio

from benchmarks.load import OpenLoop, ask, build_request, build_schedule, connect, saturate
from benchmarks.measuring import (
    Result,
    begin,
    exact_cpu_seconds_of,
    percentile,
    report,
    resident_mib,
)
from p2p_modelex.engine.memory import MemoryEngine
from p2p_modelex.engine.spec import EngineSpec, UpstreamSpec
from p2p_modelex.engine.upstream.engine import UpstreamEngine
from p2p_modelex.node.configuration import Configuration, GatewaySettings, LogSettings
from p2p_modelex.node.exchange import Exchange
from p2p_modelex.node.gateway.gateway import open_gateway
from p2p_modelex.node.log import configure_log
from tests.engine.openai_server import serving_openai
from tests.node.world import MODEL, World, wait_for_sellers

TOKENS = 1
LONG_TOKENS = 1000
AT_ONCE = 4
RATE = 100
LATENCY_S = 5.0
REQUESTS = {"echo": 6000, "engine": 3000, "server": 2000, "upstream": 2000, "mesh": 400}
TITLES = {
    "echo": "a bare h11 echo",
    "engine": "the gateway and an engine of its own node",
    "server": "a server asked directly, as a stream",
    "upstream": "the gateway before that server",
    "mesh": "the gateway and a mesh in memory, both ends",
}


def main() -> None:
    """Measure all three servers, or be one of them."""
    if len(sys.argv) > 1:
        configure_log(LogSettings(level="warning"))
        trio.run(_SERVERS[sys.argv[1]], *sys.argv[2:])
        return
    begin()
    seen = {kind: trio.run(_measure, kind) for kind in TITLES}
    for kind, against in (("engine", "echo"), ("upstream", "server"), ("mesh", "echo")):
        _report(kind, seen[kind], against, seen[against], has_target=kind != "mesh")


# The servers.


async def _serve_echo() -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    _say_port(listeners[0].socket.getsockname()[1])
    await trio.serve_listeners(_echo, listeners)


def _say_port(port: int) -> None:
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()


async def _echo(stream: trio.SocketStream) -> None:
    """Read a request and answer with its body; nothing is bounded and nothing can go wrong."""
    state = h11.Connection(h11.SERVER)
    body = b""
    while True:
        event = state.next_event()
        if event is h11.NEED_DATA:
            state.receive_data(await stream.receive_some(65536))
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            headers = [("content-type", "application/json"), ("content-length", str(len(body)))]
            answer = h11.Response(status_code=200, headers=headers), h11.Data(data=body)
            parts = [state.send(part) or b"" for part in (*answer, h11.EndOfMessage())]
            await stream.send_all(b"".join(parts))
            state.start_next_cycle()
            body = b""
        elif isinstance(event, h11.ConnectionClosed):
            return


def _build_engine() -> MemoryEngine:
    return MemoryEngine(
        MODEL, slots=AT_ONCE, waiting_max=256, length=LONG_TOKENS, context_length=8192
    )


async def _serve_engine() -> None:
    async with World().provider(1, _build_engine()) as node:
        await _serve(Exchange(node, Configuration()))


async def _serve_mesh() -> None:
    world = World()
    async with world.provider(1, _build_engine()), world.requester(2, friends=[1]) as exchange:
        await wait_for_sellers(exchange, 1)
        await _serve(exchange)


async def _serve_server() -> None:
    async with serving_openai(_build_engine()) as server:
        _say_port(_port_of(server.url))
        await trio.sleep_forever()


async def _serve_upstream(port: str) -> None:
    upstream = UpstreamSpec(f"http://127.0.0.1:{port}/v1", "m")
    engine = UpstreamEngine(EngineSpec("upstream", MODEL, upstream=upstream))
    async with World().provider(1, engine) as node:
        await _serve(Exchange(node, Configuration()))


async def _serve(exchange: Exchange) -> None:
    async with open_gateway(exchange, GatewaySettings(port=0), None) as url:
        _say_port(_port_of(url))
        await trio.sleep_forever()


def _port_of(url: str) -> int:
    return int(url.removesuffix("/v1").rpartition(":")[2])


_SERVERS: dict[str, Callable[..., Awaitable[None]]] = {
    "echo": _serve_echo,
    "engine": _serve_engine,
    "server": _serve_server,
    "upstream": _serve_upstream,
    "mesh": _serve_mesh,
}


# The load.


@dataclass(frozen=True, slots=True)
class Seen:
    """What one server did. cpu_us, token_us: of its process. p50_ms, p99_ms: at RATE a second."""

    cpu_us: float
    rate: float
    p50_ms: float
    p99_ms: float
    token_us: float
    first_ms: float
    memory_mib: float


async def _measure(kind: str) -> Seen:
    request = build_request(MODEL, tokens=TOKENS, is_stream=kind == "server")
    with contextlib.ExitStack() as stack:
        fronted = [stack.enter_context(_run_server("server"))[1]] if kind == "upstream" else []
        pid, port = stack.enter_context(_run_server(kind, *fronted))
        await saturate(
            port, request, AT_ONCE * 4, AT_ONCE
        )  # warm: channels are open, code is loaded
        before, began = exact_cpu_seconds_of(pid), time.perf_counter()
        await saturate(port, request, REQUESTS[kind], AT_ONCE)
        wall_s = time.perf_counter() - began
        cpu_us = (exact_cpu_seconds_of(pid) - before) / REQUESTS[kind] * 1e6
        timed = await OpenLoop(port).run(build_schedule(request, RATE, LATENCY_S))
        late = [one.whole_s * 1000 for one in timed]
        token_us = first_ms = 0.0
        if kind != "echo":
            token_us, first_ms = await _measure_stream(pid, port)
        return Seen(
            cpu_us,
            REQUESTS[kind] / wall_s,
            statistics.median(late),
            percentile(late, 0.99),
            token_us,
            first_ms,
            resident_mib(pid),
        )


@contextlib.contextmanager
def _run_server(kind: str, *ports: int) -> Iterator[tuple[int, int]]:
    command = [sys.executable, "-m", "benchmarks.gateway", kind, *map(str, ports)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.pid, int(server.stdout.readline())
        finally:
            server.terminate()


async def _measure_stream(pid: int, port: int) -> tuple[float, float]:
    """Return CPU microseconds a streamed token, and milliseconds to the first one."""
    request = build_request(MODEL, tokens=LONG_TOKENS, is_stream=True)
    tokens, firsts = [], []
    for _ in range(4):
        async with connect(port) as stream:
            before, began_s = exact_cpu_seconds_of(pid), trio.current_time()
            answer = await ask(stream, request)
            firsts.append((answer.first_s - began_s) * 1000)
            tokens.append((exact_cpu_seconds_of(pid) - before) / LONG_TOKENS * 1e6)
    return statistics.median(tokens[1:]), statistics.median(firsts[1:])


def _report(kind: str, seen: Seen, beside: str, floor: Seen, *, has_target: bool) -> None:
    against = TITLES[beside]
    rates = f"{seen.rate:.0f}, {beside} {floor.rate:.0f}"
    request = Result(
        f"{TITLES[kind]}: a request",
        seen.cpu_us,
        "us CPU",
        against,
        floor.cpu_us,
        seen.cpu_us / floor.cpu_us,
        note=f"{seen.memory_mib:.0f} MiB",
    )
    rows = [
        (request, "<= 1,000 us", seen.cpu_us <= 1000),
        (
            Result(
                "  its ceiling on one core",
                1e6 / seen.cpu_us,
                "requests/s CPU",
                against,
                1e6 / floor.cpu_us,
                floor.cpu_us / seen.cpu_us,
                note=f"by the clock, {AT_ONCE} connections: {rates}",
            ),
            ">= 1,000",
            seen.cpu_us <= 1000,
        ),
        (
            Result(f"  at {RATE} requests/s, p50", seen.p50_ms, "ms", against, floor.p50_ms),
            "<= 2 ms more",
            seen.p50_ms - floor.p50_ms <= 2,
        ),
        (
            Result(f"  at {RATE} requests/s, p99", seen.p99_ms, "ms", against, floor.p99_ms),
            "<= 8 ms more",
            seen.p99_ms - floor.p99_ms <= 8,
        ),
        (
            Result(
                f"  a streamed token, of {LONG_TOKENS}",
                seen.token_us,
                "us CPU",
                against if floor.token_us else "",
                floor.token_us or None,
                note=f"first after {seen.first_ms:.1f} ms",
            ),
            "<= 150 us",
            seen.token_us <= 150,
        ),
    ]
    for row, target, is_met in rows:
        held = {"target": target, "is_met": is_met} if has_target else {}
        report(msgspec.structs.replace(row, **held))


if __name__ == "__main__":
    main()
