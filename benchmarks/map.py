"""A map over 1, 2, 4 and 8 members: real processes, whose engines wait and use no CPU.

A member has 4 slots and takes 320 ms for a prompt, so that it serves 12.5 a second and eight of
them 100. Each farm has as many prompts for each member, so all take as long: efficiency is the rate
against so many times the rate of one. What is full in the end is the machine, which runs the buyer
and all members: the last row has engines that answer at once. What a busy machine hides, how well
the work is spread, is said first: the same machine of core/mapping in virtual time.
"""

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import trio

from benchmarks.measuring import Result, begin, exact_cpu_seconds_of, measure_once, report
from benchmarks.sampling import Samples, sampling
from p2p_modelex.cli.common import quiet_log
from p2p_modelex.node.exchange import Exchange, Terms, connect
from p2p_modelex.node.mapping.template import Template
from tests.core.mapping.floor import Floor, Worker
from tests.node.mapping.town import BUYER, MODEL, PASSPHRASE, SLOTS, Town, open_town

FARMS = (1, 2, 4, 8)
PROMPTS = int(os.environ.get("MODELEX_BENCH_PROMPTS", "800"))
"""Over the largest farm. `make bench-map` takes 10,000."""
FARM = "harvest"
WORK_MS = 320.0
TARGET = 0.9
VIRTUAL = 10_000
WARMUP = 16
"""Prompts for each member beforehand: they open the channels."""


@dataclass(frozen=True, slots=True)
class Ran:
    """rate: prompts a second. buyer_ms, member_ms: CPU for each prompt."""

    rate: float
    buyer_ms: float
    member_ms: float
    extras: int
    samples: Samples


def main() -> None:
    """Report the rate of each farm against that of one member, and where the machine is full."""
    begin()
    most = max(FARMS)
    for members in FARMS:
        _report_virtual(
            f"{members} members", [Worker(at, SLOTS, int(WORK_MS)) for at in range(members)]
        )
    slow = [Worker(at, SLOTS, int(WORK_MS) * (3 if at < 2 else 1)) for at in range(most)]
    _report_virtual(f"{most} members, two of them three times slower", slow)
    ran = {
        members: trio.run(_run, members, PROMPTS * members // most, WORK_MS) for members in FARMS
    }
    for members, one in ran.items():
        _report_farm(members, one, ran[FARMS[0]])
    _report_full(trio.run(_run, most, PROMPTS, 0.0))


def _report_virtual(name: str, workers: list[Worker]) -> None:
    floor = Floor(workers, VIRTUAL)
    spent = measure_once(floor.run)
    least_ms = VIRTUAL / sum(worker.slots / worker.work_ms for worker in workers)
    efficiency = least_ms / floor.took_ms
    report(
        Result(
            f"{VIRTUAL:,} prompts over {name}, in virtual time",
            floor.took_ms / 1000,
            "s",
            "all slots, never idle",
            least_ms / 1000,
            efficiency,
            f">= {TARGET:.0%}",
            efficiency >= TARGET,
            note=f"{floor.extras} begun again; {spent.cpu_s / VIRTUAL * 1e6:.0f} us CPU a prompt, "
            "the virtual members' included",
        )
    )


async def _run(members: int, prompts: int, work_ms: float) -> Ran:
    quiet_log()
    names = [f"member-{number}" for number in range(members)]
    with tempfile.TemporaryDirectory(prefix="modelex-benchmark-") as folder:
        async with open_town(Path(folder), names, token_ms=work_ms) as town:
            await town.found_farm(FARM, names)
            async with trio.open_nursery() as nursery:
                for name in names:
                    nursery.start_soon(town.start, name)
            async with connect(town.homes[BUYER].path, PASSPHRASE) as exchange:
                await exchange.node.wait_until(lambda: len(exchange.nodes()) == members)
                await _map(exchange, WARMUP * members, None)
                return await _measure(exchange, town, names, prompts)


async def _measure(exchange: Exchange, town: Town, names: Sequence[str], prompts: int) -> Ran:
    pids = [town.processes[name].pid for name in names]
    began, buyer = time.perf_counter(), time.process_time()
    theirs = sum(map(exact_cpu_seconds_of, pids))
    with sampling() as samples:
        extras = await _map(exchange, prompts, town.folder / "journal")
    took = time.perf_counter() - began
    return Ran(
        prompts / took,
        (time.process_time() - buyer) / prompts * 1e3,
        (sum(map(exact_cpu_seconds_of, pids)) - theirs) / prompts * 1e3,
        extras,
        samples,
    )


async def _map(exchange: Exchange, many: int, journal: Path | None) -> int:
    """Run a map of so many prompts, and return how many orders were begun again."""
    template = Template(model=MODEL, text="Headline: {number}\nSentiment:", max_tokens=1)
    inputs = ({"number": number} for number in range(many))
    async with exchange.map(template, inputs, terms=Terms(farm=FARM), journal=journal) as results:
        count = 0
        async for result in results:
            assert result.error is None
            assert result.index == count
            count += 1
        tally = await results.tally()
    assert count == tally.receipts == many
    return tally.extras


def _report_farm(members: int, ran: Ran, alone: Ran) -> None:
    most = alone.rate * members if members > 1 else SLOTS / WORK_MS * 1e3
    report(
        Result(
            f"a map over {members} members of {SLOTS} slots and {WORK_MS:.0f} ms",
            ran.rate,
            "prompts/s",
            "so many times one member" if members > 1 else "its slots, never idle",
            most,
            ran.rate / most,
            f">= {TARGET:.0%}",
            ran.rate / most >= TARGET,
            note=f"CPU a prompt: buyer {ran.buyer_ms:.1f} ms, member {ran.member_ms:.1f} ms; "
            f"{ran.extras} begun again",
        )
    )


def _report_full(ran: Ran) -> None:
    top = ", ".join(f"{name} {share:.0%}" for name, share in ran.samples.top(8))
    report(
        Result(
            f"  over {max(FARMS)} members that answer at once: the machine is full",
            ran.rate,
            "prompts/s",
            note=f"CPU a prompt: buyer {ran.buyer_ms:.1f} ms, member {ran.member_ms:.1f} ms; "
            f"of the buyer's {top}",
        )
    )


if __name__ == "__main__":
    main()
