"""The main job on real parts: processes on loopback, libp2p, a language model, an EVM chain."""

import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from p2p_modelex.chain.evm.port import EvmChain
from p2p_modelex.core.effects import RunRestarted
from p2p_modelex.core.exchange.receipt_file import decode_receipt_file
from p2p_modelex.core.exchange.verification import verify_receipt_row
from p2p_modelex.demo.mesh import PASSPHRASE, SENTIMENT, Character, Mesh, open_mesh
from p2p_modelex.engine.sources import NAMED
from p2p_modelex.node.completion import Completion
from p2p_modelex.node.exchange import Exchange, connect
from p2p_modelex.node.request import build_request
from p2p_modelex.node.settling import settle_home
from p2p_modelex.store.sqlite import SqliteStore
from p2p_modelex.units import Wei

# The brittle one is the cheapest, so it is met soon; it crashes after its first token.
CAST = (
    Character("ada", SENTIMENT, "0.02"),
    Character("brittle", SENTIMENT, "0.012", ("--crash-jobs", "1")),
    Character("cora", SENTIMENT, "0.03"),
)
PROMPT = NAMED[SENTIMENT].prompt.format(text="Profits doubled")
SCORES = set("123456789")
JOIN_TIMEOUT_S = 30.0
LEAVE_TIMEOUT_S = 20.0
RUNS_MAX = 16


@dataclass
class Books:
    """What the client agreed to pay, in wei: by receipt for each node, and all in all."""

    receipts: Counter[str] = field(default_factory=Counter)
    paid: int = 0


async def test_prompts_are_answered_signed_paid_and_settled_by_real_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELEX_PASSPHRASE", PASSPHRASE)
    models = tmp_path / "models"
    models.mkdir()
    books = Books()
    async with open_mesh(tmp_path, models, print, CAST) as mesh:
        before = await read_balances(mesh)
        async with connect(mesh.homes["client"].path, PASSPHRASE) as exchange:
            await meet_the_crash(mesh, exchange, books)
            await survive_a_kill(mesh, exchange, books)
        await run_and_verify_by_command(mesh, tmp_path, books)
        await wait_for_vouchers(mesh, books)
        await settle_everything(mesh)
        after = await read_balances(mesh)
        earned = {one.name: after[one.name] - before[one.name] for one in CAST}
        assert earned == await read_vouchers(mesh)
        # The brittle one's share of the job it failed may be lost on the way, and no more.
        assert sum(books.receipts.values()) <= sum(earned.values()) <= books.paid
        assert before["client"] - after["client"] >= books.paid
        leaving = trio.current_time()
    assert trio.current_time() - leaving < LEAVE_TIMEOUT_S
    codes = {name: process.returncode for name, process in mesh.processes.items()}
    assert codes == {"bootstrap": 0, "ada": -signal.SIGKILL, "brittle": 0, "cora": 0}


async def meet_the_crash(mesh: Mesh, exchange: Exchange, books: Books) -> None:
    """Run until the brittle node has crashed in mid-stream, and its job went elsewhere."""
    with trio.fail_after(JOIN_TIMEOUT_S):
        await exchange.node.wait_until(lambda: len(exchange.nodes()) == len(CAST))
    crashes: list[RunRestarted] = []
    for _ in range(RUNS_MAX):
        completion = ask(exchange)
        crashes = [piece async for piece in completion if isinstance(piece, RunRestarted)]
        check(mesh, completion, books)
        if crashes:
            break
    assert [crash.why.code for crash in crashes] == ["engine"]
    assert mesh.names[crashes[0].why.peer or b""] == "brittle"


async def survive_a_kill(mesh: Mesh, exchange: Exchange, books: Books) -> None:
    """Kill a node that still advertises; the next runs go to the others."""
    await wait_for_vouchers(mesh, books)
    mesh.processes["ada"].kill()
    await mesh.processes["ada"].wait()
    for _ in range(3):
        completion = ask(exchange)
        await completion.wait()
        check(mesh, completion, books)
        assert mesh.names[completion.provider or b""] != "ada"


def ask(exchange: Exchange) -> Completion:
    return exchange.request(build_request(PROMPT, model=SENTIMENT, kind="score", max_tokens=2))


def check(mesh: Mesh, completion: Completion, books: Books) -> None:
    assert completion.text.strip() in SCORES
    assert completion.row is not None
    verify_receipt_row(completion.row, mesh.deployment.registry_domain, None)
    price = completion.row.receipt.receipt.price
    assert completion.paid >= price > 0
    books.receipts[mesh.names[completion.row.peer]] += price
    books.paid += completion.paid


async def modelex(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    return await trio.run_process(
        [sys.executable, "-m", "p2p_modelex", *map(str, arguments)],
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )


async def run_and_verify_by_command(mesh: Mesh, folder: Path, books: Books) -> None:
    home = mesh.homes["client"]
    receipt, forged = folder / "receipt.json", folder / "forged.json"
    how = ("--kind", "score", "--max-tokens", "2", "--receipt", receipt)
    done = await modelex("run", PROMPT, "--home", home.path, "--model", SENTIMENT, *how)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().strip() in SCORES
    assert b"receipt verified" in done.stderr
    row = decode_receipt_file(await trio.Path(receipt).read_bytes())
    books.receipts[mesh.names[row.peer]] += row.receipt.receipt.price
    books.paid += row.receipt.receipt.price

    good = await modelex("verify", receipt, "--home", home.path)
    assert good.returncode == 0, good.stderr
    assert b"the receipt is good" in good.stdout
    content = await trio.Path(receipt).read_text()
    await trio.Path(forged).write_text(content.replace("Profits doubled", "Profits doublee"))
    bad = await modelex("verify", forged, "--home", home.path)
    assert bad.returncode == 14
    assert bad.stderr.startswith(b"error: ")
    assert b"Traceback" not in bad.stderr


async def wait_for_vouchers(mesh: Mesh, books: Books) -> None:
    """Wait until the last vouchers, sent a moment ago, are in the nodes' stores."""
    with trio.fail_after(JOIN_TIMEOUT_S):
        while any(
            held < books.receipts[name] for name, held in (await read_vouchers(mesh)).items()
        ):
            await trio.sleep(0.1)


async def read_vouchers(mesh: Mesh) -> dict[str, int]:
    held: dict[str, int] = {}
    for one in CAST:
        async with SqliteStore(mesh.homes[one.name].database, read_only=True) as store:
            rows = await store.received_vouchers()
        held[one.name] = sum(row.signed.voucher.amount for row in rows)
    return held


async def settle_everything(mesh: Mesh) -> None:
    """One by the command, beside its running node; the others, the killed one too, by library."""
    settled = await modelex("settle", "--home", mesh.homes["cora"].path)
    assert settled.returncode == 0, settled.stderr
    again = await modelex("settle", "--home", mesh.homes["cora"].path)
    assert (again.returncode, again.stdout) == (0, b"there is nothing to redeem\n")
    for name in ("ada", "brittle"):
        await settle_home(mesh.homes[name], PASSPHRASE)


async def read_balances(mesh: Mesh) -> dict[str, Wei]:
    names = ["client", *(one.name for one in CAST)]
    async with EvmChain(mesh.net.url, mesh.deployment, mesh.keys["client"].account) as chain:
        return {name: await chain.fetch_balance(mesh.keys[name].account.address) for name in names}
