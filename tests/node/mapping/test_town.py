"""The command over a mesh of processes, of which one is killed and another joins on the way."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from p2p_modelex.ids import format_peer_id
from p2p_modelex.store.sqlite import SqliteStore
from tests.node.mapping.town import BUYER, MODEL, PASSPHRASE, Town, open_town

MANY = 1_000
FARM = "harvest"
MEMBERS = ("ada", "bert", "cleo", "dora")
VICTIM, NEWCOMER = "bert", "emil"
TOKEN_MS = 75.0
"""Long enough for the newcomer to come while there is work, on a quick machine too."""


@pytest.mark.town
async def test_a_thousand_headlines_while_one_dies_and_one_joins(tmp_path: Path) -> None:
    template, inputs = tmp_path / "rate.json", tmp_path / "headlines.jsonl"
    template.write_text(
        json.dumps({"model": MODEL, "text": "Headline: {headline}\nSentiment:", "max_tokens": 2})
    )
    lines = (json.dumps({"id": f"n{n}", "headline": f"Steel up {n}"}) for n in range(MANY))
    inputs.write_text("".join(f"{line}\n" for line in lines))
    output = tmp_path / "out.jsonl"
    async with open_town(tmp_path, (*MEMBERS, NEWCOMER), token_ms=TOKEN_MS) as town:
        await town.found_farm(FARM, (*MEMBERS, NEWCOMER))
        async with trio.open_nursery() as nursery:
            for name in MEMBERS:
                nursery.start_soon(town.start, name)
        command = [
            "map",
            str(template),
            str(inputs),
            "--farm",
            FARM,
            "--output",
            str(output),
            "--json",
        ]
        async with trio.open_nursery() as nursery:
            mapping = await nursery.start(_run, [*command, "--home", str(town.homes[BUYER].path)])
            await _wait_for_lines(output, 150)
            town.kill(VICTIM)
            await _wait_for_lines(output, 300)
            await town.start(NEWCOMER)
            with trio.fail_after(120):
                code = await mapping.wait()
        summary = json.loads((tmp_path / "summary").read_text())
        assert code == 0, summary
        results = [json.loads(line) for line in output.read_text().splitlines()]
        await town.stop()
        await _check(town, results, summary)


async def _run(arguments: list[str], *, task_status: Any) -> None:
    environ = {**os.environ, "MODELEX_PASSPHRASE": PASSPHRASE}
    output = Path(arguments[arguments.index("--output") + 1])
    with (output.parent / "summary").open("wb") as summary:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "p2p_modelex", *arguments], stdout=summary, env=environ
        )
    task_status.started(process)
    try:
        await process.wait()
    finally:
        process.kill()


async def _wait_for_lines(output: Path, many: int) -> None:
    with trio.fail_after(120):
        while _count_lines(output) < many:
            await trio.sleep(0.05)


def _count_lines(output: Path) -> int:
    return output.read_bytes().count(b"\n") if output.exists() else 0


async def _check(town: Town, results: list[dict[str, Any]], summary: dict[str, int]) -> None:
    """Complete, in order, and paid once by the books of both ends."""
    assert [result["index"] for result in results] == list(range(MANY))
    assert [result["id"] for result in results] == [f"n{number}" for number in range(MANY)]
    assert all("error" not in result for result in results)
    receipts = {result["receipt"]: result for result in results}
    assert len(receipts) == summary["receipts"] == summary["answered"] == MANY
    # Nothing was ordered twice but what the dead one had in hand, and what was late.
    assert summary["jobs"] - MANY <= 8 + 2 + summary["begun_again"]
    served = dict.fromkeys((*MEMBERS, NEWCOMER), 0)
    names = {format_peer_id(town.keys[name].peer.peer): name for name in served}
    for result in results:
        served[names[result["provider"]]] += 1
    assert all(served.values()), served
    network = town.deployment.network
    async with SqliteStore(town.homes[BUYER].database, network=network, read_only=True) as store:
        bought = {row.receipt.receipt.job.hex() for row in await store.receipts(limit=10_000)}
        issued = {
            (row.signed.voucher.channel, row.signed.voucher.lane): row.signed.voucher.amount
            for row in await store.issued_vouchers()
        }
    assert receipts.keys() <= bought
    # All were paid on one channel, the farm's.
    assert len({channel for channel, _ in issued}) == 1
    for name in served:
        if name == VICTIM:
            continue
        async with SqliteStore(town.homes[name].database, network=network, read_only=True) as store:
            sold = await store.receipts(limit=10_000)
            held = await store.received_vouchers()
        mine = {job for job, result in receipts.items() if names[result["provider"]] == name}
        assert mine <= {row.receipt.receipt.job.hex() for row in sold}
        # What it was promised is what its receipts say, on both sides.
        promised = sum(row.signed.voucher.amount for row in held)
        assert promised == sum(row.receipt.receipt.price for row in sold)
        for row in held:
            voucher = row.signed.voucher
            assert issued[voucher.channel, voucher.lane] == voucher.amount
