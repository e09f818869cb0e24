"""Processes that answer HTTP: started on a core, waited for, and ended."""

import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import trio

from benchmarks.load import HungUp, ask, connect
from benchmarks.router.install import Missing, Program
from benchmarks.router.machine import Cores
from benchmarks.router.peers import Peer, Place
from benchmarks.router.static import write_static
from benchmarks.router.worker import Plan

START_TIMEOUT_S = 60.0
_TRY_S = 5.0
STOP_TIMEOUT_S = 5.0
_LOG_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Bench:
    """What every measurement needs: cores, installed programs, and a folder to write into."""

    cores: Cores
    programs: dict[str, Program]
    folder: Path


@asynccontextmanager
async def run_process(
    command: Sequence[str], log: Path, *, piped: bool = False
) -> AsyncGenerator[trio.Process, None]:
    """Run a command until the block ends. piped: its output is for the caller to read."""
    with log.open("wb") as file:
        process = await trio.lowlevel.open_process(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if piped else file,
            stderr=file,
        )
    try:
        yield process
    finally:
        with trio.CancelScope(shield=True):
            process.terminate()
            with trio.move_on_after(STOP_TIMEOUT_S):
                await process.wait()
            if process.returncode is None:
                process.kill()
                await process.wait()


def find_port() -> int:
    """Return a port that is free, as is the next one."""
    while True:
        with socket.socket() as one, socket.socket() as next_one:
            one.bind(("127.0.0.1", 0))
            port: int = one.getsockname()[1]
            try:
                next_one.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


async def wait_until_up(process: trio.Process, port: int, request: bytes, log: Path) -> None:
    """Ask until the answer is good; Missing with the end of the log if that never comes."""
    with trio.move_on_after(START_TIMEOUT_S):
        while process.returncode is None:
            try:
                with trio.move_on_after(_TRY_S):
                    async with connect(port) as stream:
                        if (await ask(stream, request)).status == 200:
                            return
            except (OSError, HungUp, trio.BrokenResourceError):
                pass
            await trio.sleep(0.1)
            process.poll()
    said = await trio.Path(log).read_bytes()
    last = said.decode(errors="replace")[-_LOG_CHARACTERS:]
    raise Missing(f"it did not start: {' '.join(last.split())}")


@asynccontextmanager
async def run_peer(
    bench: Bench, peer: Peer, workers: Sequence[int], request: bytes
) -> AsyncGenerator[tuple[int, int], None]:
    """Run a peer in front of workers, on the router's core; gives its process id and its port.

    request: what it must answer before it counts as up. Raises Missing.
    """
    if peer.program not in bench.programs:
        raise Missing("not installed")
    folder = bench.folder / f"{peer.program}-{find_port()}"
    folder.mkdir()
    place = Place(bench.programs[peer.program], folder, find_port(), workers)
    log = folder / "log"
    command = bench.cores.pin(bench.cores.router, peer.build(place))
    async with run_process(command, log) as process:
        await wait_until_up(process, place.port, request, log)
        yield process.pid, place.port


@asynccontextmanager
async def run_static(bench: Bench) -> AsyncGenerator[tuple[int, int], None]:
    """Run nginx as a worker; gives its ports for whole answers and for streams."""
    if "nginx" not in bench.programs:
        raise Missing("no nginx to be the worker")
    folder, ports = bench.folder / "static", (find_port(), find_port())
    configuration = write_static(folder, *ports)
    program = bench.programs["nginx"]
    command = [*program.command, "-p", str(folder), "-c", str(configuration)]
    log = folder / "log"
    async with run_process(bench.cores.pin(bench.cores.load, command), log) as process:
        await wait_until_up(process, ports[0], b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", log)
        yield ports


@asynccontextmanager
async def run_workers(bench: Bench, plans: Sequence[Plan]) -> AsyncGenerator[list[int], None]:
    """Run simulated workers; gives their ports."""
    told = [msgspec.json.encode(plan).decode() for plan in plans]
    command = [sys.executable, "-m", "benchmarks.router.worker", *told]
    log = bench.folder / "workers.log"
    pinned = bench.cores.pin(bench.cores.load, command)
    async with run_process(pinned, log, piped=True) as process:
        assert process.stdout is not None
        with trio.fail_after(START_TIMEOUT_S):
            ports = (await process.stdout.receive_some(4096)).decode().split()
        yield [int(port) for port in ports]
