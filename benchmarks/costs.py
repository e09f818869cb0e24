"""What the simulator charges virtual CPUs and disks for, measured: `python -m benchmarks costs`.

The constants are rounded from a quiet machine; what counts is that none is off by more than twice.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import trio

from benchmarks.calibration.on_sockets import spread_on_sockets
from benchmarks.calibration.run_loop import average
from benchmarks.calibration.work import Plan, Work
from benchmarks.jobs import AT_ONCE, JOBS, buy_many, open_market
from benchmarks.measuring import Result, begin, measure, report
from p2p_modelex.core.node import NodeCore
from p2p_modelex.ids import Digest
from p2p_modelex.keys.signers import Ed25519Signer
from p2p_modelex.node.configuration import LogSettings
from p2p_modelex.node.log import configure_log
from p2p_modelex.records import eip712, envelope
from p2p_modelex.records.rows import SettingRow
from p2p_modelex.records.signers import EvmSigner
from p2p_modelex.simulation.scenario.settings import Cpu
from p2p_modelex.store.sqlite import SqliteStore
from tests.node.world import DEPLOYMENT

REPEATS = 1000
WRITES = 200
WITHIN = 2.0
CHARGED = Cpu()


def main() -> None:
    """Report each cost beside what is charged for it."""
    begin()
    configure_log(LogSettings(level="warning"))
    _report_signatures()
    _report("an input of a node, signatures apart", trio.run(_measure_input), CHARGED.step)
    _report_gossip()
    _report("rows made durable, SQLite", trio.run(_measure_disk), CHARGED.disk, "us")


def _report(work: str, measured: float, charged: float, unit: str = "us CPU") -> None:
    ratio = measured / charged
    report(
        Result(
            work,
            measured,
            unit,
            "charged",
            float(charged),
            ratio,
            f"between 1/{WITHIN:g} and {WITHIN:g}",
            1 / WITHIN <= ratio <= WITHIN,
        )
    )


def _report_signatures() -> None:
    peer, account, costs = Ed25519Signer(bytes(32)), EvmSigner(b"\x01" * 32), CHARGED.signatures
    message, digest = os.urandom(350), Digest(os.urandom(32))
    network = DEPLOYMENT.network
    sealed = envelope.seal("benchmark", network, message, peer)
    signature = account.sign_digest(digest)
    deeds: tuple[tuple[str, Callable[[], object], int], ...] = (
        ("an Ed25519 signature", lambda: peer.sign(message), costs.peer_sign_us),
        (
            "an envelope verified",
            lambda: envelope.verify(sealed, "benchmark", network),
            costs.peer_verify_us,
        ),
        ("a secp256k1 signature", lambda: account.sign_digest(digest), costs.account_sign_us),
        (
            "a signer recovered",
            lambda: eip712.recover(digest, signature),
            costs.account_recover_us,
        ),
    )
    for work, deed, charged in deeds:
        _report(work, _measure_deed(deed), charged)


def _measure_deed(deed: Callable[[], object]) -> float:
    def repeat() -> None:
        for _ in range(REPEATS):
            deed()

    return measure(repeat).cpu_s / REPEATS * 1e6


@dataclass
class Meter:
    """Counts the steps of cores, and the CPU seconds that signatures take meanwhile."""

    steps: int = 0
    signing_s: float = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count while the block runs."""
        step_on: Any = NodeCore.step

        def step(core: NodeCore, *arguments: Any) -> Any:
            self.steps += 1
            return step_on(core, *arguments)

        places: tuple[tuple[Any, str], ...] = (
            (envelope, "verify"),
            (eip712, "recover"),
            (Ed25519Signer, "sign"),
            (EvmSigner, "sign_digest"),
        )
        with ExitStack() as stack:
            stack.enter_context(patch.object(NodeCore, "step", step))
            for place, name in places:
                timed = self._time(getattr(place, name))
                stack.enter_context(patch.object(place, name, timed))
            yield

    def _time(self, function: Any) -> Any:
        def timed(*arguments: Any, **options: Any) -> Any:
            began_s = time.process_time()
            try:
                return function(*arguments, **options)
            finally:
                self.signing_s += time.process_time() - began_s

        return timed


async def _measure_input() -> float:
    """Paid jobs between two whole nodes on a network in memory: driver and Trio included."""
    meter = Meter()
    with meter.running():
        async with open_market(None) as exchange:
            await buy_many(exchange, AT_ONCE)
            meter.steps, meter.signing_s = 0, 0.0
            spent = await buy_many(exchange, JOBS)
    return (spent.cpu_s - meter.signing_s) / meter.steps * 1e6


def _report_gossip() -> None:
    plan = Plan(20, 8, 60, 5.0, settle_s=12.0, period_s=0.13, drain_s=2.0, is_near=True)
    log, costs = spread_on_sockets(Work(plan, 1))
    deliveries = plan.messages * (plan.nodes - 1)
    means = average([costs])
    frame = (means["write"] + means["read"] + means["known"]) / 2
    _report("a frame sent or received on TCP", frame, CHARGED.frame)
    _report("a gossip message, its copies too", log.cpu_s / deliveries * 1e6, CHARGED.gossip)


async def _measure_disk() -> float:
    """Wall time of one write, as the driver waits for it."""
    times: list[float] = []
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        async with SqliteStore(Path(folder) / "db.sqlite", network=DEPLOYMENT.network) as store:
            for number in range(WRITES):
                began = time.perf_counter()
                await store.apply([SettingRow("benchmark", number.to_bytes(32, "big"))])
                times.append(time.perf_counter() - began)
    return median(times) * 1e6


if __name__ == "__main__":
    main()
