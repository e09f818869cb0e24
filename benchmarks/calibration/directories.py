"""Whole nodes that get to know each other: on TCP in one process, and simulated.

They join one after the other through a bootstrap peer, and nobody sells or buys. What takes time
there are the protocols' own pauses, not CPU or links.
"""

import dataclasses
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any
from unittest.mock import patch

import trio
from libp2p.io.trio import TrioTCPStream

from benchmarks.calibration.on_sockets import open_network
from benchmarks.calibration.work import TOPIC
from benchmarks.measuring import percentile
from p2p_modelex.ids import PeerId, format_peer_id
from p2p_modelex.net.abc import NetworkStatistics, Verdict
from p2p_modelex.net.libp2p.channel import SecureChannel
from p2p_modelex.net.libp2p.network import Libp2pNetwork
from p2p_modelex.node.assembly import configure_network
from p2p_modelex.node.configuration import Configuration
from p2p_modelex.node.driver import wall_clock
from p2p_modelex.node.node import Node
from p2p_modelex.node.parts import Parts
from p2p_modelex.records.rows import RecordRow, Row
from p2p_modelex.simulation.models.links import PACKET_HEADER_BYTES
from p2p_modelex.simulation.run import Simulation
from p2p_modelex.simulation.scenario.quantities import Duration
from p2p_modelex.simulation.scenario.settings import Cpu, Links
from p2p_modelex.simulation.scenario.tables import Population, Scenario
from p2p_modelex.store.memory import MemoryStore
from tests.node.world import DEPLOYMENT, make_keys

NODES = 20
APART_S = 0.7
"""From one node's start to the next one's."""
LASTS_S = 60.0
MESHES = 4
"""Real ones at a time."""
GREETING_S = 2.0

COMPLETE = "everybody knows everybody after, s"
CONNECTIONS = "connections"
BY_CHANCE = (COMPLETE, CONNECTIONS)
"""Where one run is far from the next, by whom nodes happen to draw."""


@dataclass
class Traffic:
    """What went through the sockets of this process."""

    sent_bytes: int = 0

    def count(self, payload: int) -> None:
        """A write to a socket."""
        self.sent_bytes += payload + PACKET_HEADER_BYTES

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count while the block runs."""
        send_on: Any = SecureChannel._send
        write_on: Any = TrioTCPStream.write

        def send(channel: SecureChannel, pieces: Sequence[bytes]) -> int:
            sent: int = send_on(channel, pieces)
            self.count(sent)
            return sent

        async def write(stream: Any, data: bytes) -> None:
            self.count(len(data))
            await write_on(stream, data)

        with (
            patch.object(SecureChannel, "_send", send),
            patch.object(TrioTCPStream, "write", write),
        ):
            yield


@dataclass
class Acquaintance:
    """What the nodes of a mesh knew when: seconds after the first began, by who knows whom.

    delays_ms: of advertisements at nodes that were up when they were made.
    """

    delays_ms: list[float] = field(default_factory=list)
    known_at: dict[tuple[PeerId, PeerId], float] = field(default_factory=dict)


class WatchedStore(MemoryStore):
    """Notes when a node's advertisements come."""

    def __init__(self, own: PeerId, heard: Acquaintance, began: float) -> None:
        super().__init__()
        self._own, self._heard, self._began = own, heard, began
        self._began_ms = wall_clock()

    async def apply(self, rows: Sequence[Row]) -> None:
        """See Store."""
        for row in rows:
            if isinstance(row, RecordRow) and row.peer != self._own:
                after_s = trio.current_time() - self._began
                self._heard.known_at.setdefault((self._own, row.peer), after_s)
                if row.sequence >= self._began_ms:
                    self._heard.delays_ms.append(wall_clock() - row.sequence)
        await super().apply(rows)


def meet_on_sockets() -> Mapping[str, float]:
    """Let real nodes meet, in several meshes at a time; returns each measure by its name."""
    traffic = Traffic()
    heard = [Acquaintance() for _ in range(MESHES)]
    with traffic.counting():
        counts = trio.run(_meet, heard)
    known_s = [list(one.known_at.values()) for one in heard]
    assert all(len(times) == NODES * (NODES - 1) for times in known_s), "not all know all"
    delays_ms = [delay for one in heard for delay in one.delays_ms]
    return {
        COMPLETE: fmean(max(times) for times in known_s),
        CONNECTIONS: fmean(one.connections for one in counts) * NODES / 2,
        "an advertisement's delay p50, ms": percentile(delays_ms, 0.5),
        "an advertisement's delay p90, ms": percentile(delays_ms, 0.9),
        "gossip messages delivered": fmean(one.gossip_in for one in counts) * NODES,
        "frames of our protocols": fmean(one.frames_out for one in counts) * NODES,
        "bytes sent, headers included": traffic.sent_bytes / MESHES,
    }


async def _meet(heard: Sequence[Acquaintance]) -> list[NetworkStatistics]:
    """Run every mesh; returns what each node's network counted."""
    counts: list[NetworkStatistics] = []
    async with trio.open_nursery() as nursery:
        for mesh, one in enumerate(heard):
            nursery.start_soon(_run_mesh, mesh, one, counts)
    return counts


async def _run_mesh(mesh: int, heard: Acquaintance, counts: list[NetworkStatistics]) -> None:
    nodes: list[Node] = []
    bootstrap: tuple[str, ...] = ()
    began = trio.current_time()
    async with AsyncExitStack() as stack:
        for number in range(NODES):
            await trio.sleep_until(began + number * APART_S)
            serving = _serve(mesh * NODES + number, bootstrap, heard, began)
            node = await stack.enter_async_context(serving)
            nodes.append(node)
            if not number:
                address = node.parts.network.addresses[0]
                bootstrap = (f"{address}/p2p/{format_peer_id(node.peer)}",)
        await trio.sleep_until(began + LASTS_S)
        counts += [node.parts.network.statistics() for node in nodes]


@asynccontextmanager
async def _serve(
    number: int, bootstrap: tuple[str, ...], heard: Acquaintance, began: float
) -> AsyncIterator[Node]:
    """Run one node as node/assembly.py does, without a chain and with its store in memory."""
    defaults = Configuration()
    mesh = dataclasses.replace(
        defaults.mesh, listen=("/ip4/127.0.0.1/tcp/0",), bootstrap=bootstrap, dht=False
    )
    configuration = dataclasses.replace(
        defaults, role="provider" if bootstrap else "bootstrap", mesh=mesh
    )
    keys = make_keys(number + 1)
    network = Libp2pNetwork(keys.peer_seed, configure_network(configuration))
    store = WatchedStore(keys.peer.peer, heard, began)
    parts = Parts(network, store, None, {}, keys, DEPLOYMENT)
    node = Node(parts, configuration, None)
    async with node.serve():
        yield node


def meet_simulated(seed: int) -> Mapping[str, float]:
    """Let simulated nodes meet in the same way."""
    populations = [
        Population(
            name=f"node {number}",
            count=1,
            role="provider" if number else "bootstrap",
            starts=Duration(int(number * APART_S * 1e6)),
            join_over=Duration(0),
        )
        for number in range(NODES)
    ]
    scenario = Scenario(
        name="acquaintance",
        duration=Duration(int(LASTS_S * 1e6)),
        seed=seed,
        crypto="real",
        measure_every=Duration(20_000),
        links=Links(latency=Duration(0), jitter=0.0),
        cpu=Cpu(disk=Duration(0)),
        population=tuple(populations),
    )
    with Simulation(scenario) as run:
        measures = run.finish().measures
        connections = run.measures.samples[-1].connections
    return {
        COMPLETE: measures["complete_at_s"],
        CONNECTIONS: connections,
        "an advertisement's delay p50, ms": measures["record_delay_ms_p50"],
        "an advertisement's delay p90, ms": measures["record_delay_ms_p90"],
        "gossip messages delivered": measures["gossip_deliveries"],
        "frames of our protocols": measures["frames"],
        "bytes sent, headers included": measures["sent_bytes"],
    }


def measure_connection() -> int:
    """Return how many bytes two real hosts say until they are connected and in a topic."""
    traffic = Traffic()
    with traffic.counting():
        trio.run(_connect)
    return traffic.sent_bytes


async def _connect() -> None:
    one, other = open_network(), open_network()
    for network in (one, other):
        network.subscribe(TOPIC, _accept)
    async with one.run(), other.run():
        await one.dial(other.peer, other.addresses)
        await trio.sleep(GREETING_S)


def _accept(_origin: PeerId, _payload: bytes) -> Verdict:
    return Verdict.ACCEPT
