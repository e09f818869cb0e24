"""What routers add to a request and to a streamed token: each peer, our gateway, and a mesh."""

import os
import signal
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import msgspec
import trio

from benchmarks.load import OpenLoop, ask, build_request, build_schedule, connect
from benchmarks.mesh import open_ground
from benchmarks.router.install import Missing
from benchmarks.router.machine import sum_memory_mib
from benchmarks.router.mesh import Front, Running, run_gateway, run_mesh, serve_both
from benchmarks.router.peers import PEERS, Peer
from benchmarks.router.profiled import share_by_layer
from benchmarks.router.rows import Say, measure_each
from benchmarks.router.servers import Bench, run_peer, run_static, run_workers
from benchmarks.router.static import STATIC, TIMED
from benchmarks.router.trials import (
    PLAN,
    Ceiling,
    Effort,
    Latency,
    Streams,
    Target,
    Trials,
    measure_quietly,
)

GATEWAY = "our gateway, HTTP out"
MESH = "our mesh path, libp2p out"


@dataclass(frozen=True, slots=True)
class Row:
    """All of one router. layers: shares of its CPU if it is ours, and of what is behind it."""

    name: str
    rate: int
    latency: Latency
    ceiling: Ceiling
    streams: Streams
    memory_mib: float
    layers: Sequence[Mapping[str, float]] = ()


async def measure_all(
    bench: Bench, effort: Effort, names: Sequence[str], say: Say
) -> tuple[dict[str, Row], list[str]]:
    """Measure every router named; returns the rows and why others are not among them."""
    async with run_static(bench) as (whole, streamed), run_workers(bench, [PLAN]) as [timed]:
        trials = Trials(bench, effort, whole, timed)

        async def measure(name: str) -> Row:
            if name in PEERS:
                return await _measure_peer(trials, PEERS[name])
            return await _measure_ours(trials, name, streamed)

        return await measure_each(names, measure, say)


async def _measure_peer(trials: Trials, peer: Peer) -> Row:
    """A peer is started anew before the timed worker: its list of workers is its own."""
    tries = trials.effort.tries
    static = run_peer(trials.bench, peer, [trials.static], build_request(STATIC))
    async with static as (pid, port):
        target = Target(peer.name, pid, port, peer.rate)
        latency = await measure_quietly(lambda: trials.time_requests(target), tries)
        ceiling = await measure_quietly(lambda: trials.saturate(target), tries)
        memory_mib = sum_memory_mib(pid)
    timed = run_peer(trials.bench, peer, [trials.timed], build_request(TIMED))
    async with timed as (pid, port):
        streaming = replace(target, pid=pid, port=port)
        streams = await measure_quietly(lambda: trials.stream(streaming), tries)
    return Row(peer.name, peer.rate, latency, ceiling, streams, memory_mib)


async def _measure_ours(trials: Trials, name: str, static: int) -> Row:
    tries = trials.effort.tries
    async with _run_ours(trials, name, static) as front:
        behind = tuple(node.pid for node in front.behind)
        target = Target(name, front.node.pid, front.port, behind=behind)
        await _warm(front)
        latency = await measure_quietly(lambda: trials.time_requests(target), tries)
        ceiling = await measure_quietly(lambda: trials.saturate(target), tries)
        memory_mib = sum_memory_mib(front.node.pid)
        streams = await measure_quietly(lambda: trials.stream(target), tries)
        layers = await _profile(trials, front)
    return Row(name, 100, latency, ceiling, streams, memory_mib, layers)


@asynccontextmanager
async def _run_ours(trials: Trials, name: str, static: int) -> AsyncGenerator[Front, None]:
    models, cores = serve_both(static, trials.timed), trials.bench.cores
    async with open_ground() as ground:
        run = run_gateway(ground, cores, models)
        async with run if name == GATEWAY else run_mesh(ground, cores, [models]) as front:
            yield front


async def _warm(front: Front) -> None:
    """Let channels be opened and code be loaded, which peers do as they start."""
    for model in (STATIC, TIMED):
        async with connect(front.port) as connection:
            for _ in range(4):
                answer = await ask(connection, build_request(model))
                if answer.status != 200:
                    raise Missing(f"it does not answer: {answer.body[:300]!r}")


async def _profile(trials: Trials, front: Front) -> list[dict[str, float]]:
    """Sample the gateway, and who is behind it, under load; after all else, since it costs."""
    nodes = (front.node, *front.behind)
    for node in nodes:
        os.kill(node.pid, signal.SIGUSR1)
    schedule = build_schedule(build_request(STATIC), 100, trials.effort.latency_s)
    await OpenLoop(front.port).run(schedule)
    for node in nodes:
        os.kill(node.pid, signal.SIGUSR1)
    return [await _read_profile(node) for node in nodes]


async def _read_profile(node: Running) -> dict[str, float]:
    with trio.fail_after(10):
        while not node.profile.exists():
            await trio.sleep(0.05)
    return share_by_layer(msgspec.json.decode(node.profile.read_bytes(), type=dict[str, int]))
