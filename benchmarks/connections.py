"""What a connection costs that says nothing: memory and CPU of one node, its neighbours elsewhere.

The neighbours are hosts of ours in another process. Each connection has been identified and gossips
on one topic, so heartbeats and pings are counted.
"""

import gc
import os
import subprocess
import sys
from functools import partial

import trio

from benchmarks.measuring import Result, Stopwatch, begin, report, resident_mib
from p2p_modelex.ids import PeerId, format_peer_id, parse_peer_id
from p2p_modelex.net.abc import Verdict
from p2p_modelex.net.libp2p.network import Libp2pNetwork

NEIGHBOURS = 40
TOPIC = "/benchmark/idle/1"
SETTLE_S = 5.0
WATCH_S = 20.0
PATIENCE_S = 60.0


def main(arguments: list[str]) -> None:
    """Report what NEIGHBOURS idle connections cost; with an address, be the neighbours."""
    if arguments:
        trio.run(_dial, *arguments)
        return
    begin()
    trio.run(_measure)


async def _measure() -> None:
    network = _make()
    async with network.run(), trio.open_nursery() as nursery:
        await trio.sleep(1.0)
        alone_mib = resident_mib()
        alone_s = await _watch_cpu()
        command = [sys.executable, "-m", "benchmarks.connections"]
        command += [format_peer_id(network.peer), network.addresses[0]]
        run = partial(trio.run_process, command, stdin=subprocess.PIPE)
        process = await nursery.start(run)
        with trio.fail_after(PATIENCE_S):
            while len(network.connected()) < NEIGHBOURS:
                await trio.sleep(0.1)
        await trio.sleep(SETTLE_S)
        gc.collect()
        each_kib = (resident_mib() - alone_mib) * 1024 / NEIGHBOURS
        each_ms = (await _watch_cpu() - alone_s) * 1000 / NEIGHBOURS
        await process.stdin.aclose()
    report(Result(f"memory of an idle connection, of {NEIGHBOURS}", each_kib, "KiB"))
    report(Result("  its CPU, gossip's heartbeat and pings included", each_ms, "ms a second"))


async def _watch_cpu() -> float:
    """Return the CPU seconds that this process uses in a second."""
    stopwatch = Stopwatch()
    await trio.sleep(WATCH_S)
    spent = stopwatch.read()
    return spent.cpu_s / spent.wall_s


async def _dial(peer: str, address: str) -> None:
    """Be the neighbours until stdin closes."""
    async with trio.open_nursery() as nursery:
        for _ in range(NEIGHBOURS):
            nursery.start_soon(_be_neighbour, parse_peer_id(peer), address)
        await trio.to_thread.run_sync(sys.stdin.read)
        nursery.cancel_scope.cancel()


async def _be_neighbour(peer: PeerId, address: str) -> None:
    network = _make()
    async with network.run():
        await network.dial(peer, (address,))
        await trio.sleep_forever()


def _make() -> Libp2pNetwork:
    network = Libp2pNetwork(os.urandom(32))
    network.subscribe(TOPIC, lambda _origin, _payload: Verdict.ACCEPT)
    return network


if __name__ == "__main__":
    main(sys.argv[1:])
