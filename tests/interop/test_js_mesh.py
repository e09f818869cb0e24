"""The JavaScript peer in a real mesh: processes of ours, a real chain, gossip, directory, money."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from p2p_modelex.chain.devnet import grant
from p2p_modelex.chain.evm.port import EvmChain
from p2p_modelex.core.directory.entry import Entry
from p2p_modelex.core.exchange.verification import verify_receipt_row
from p2p_modelex.demo.mesh import PASSPHRASE, SENTIMENT, Character, Mesh, _run_node, open_mesh
from p2p_modelex.ids import Address, format_address, format_peer_id
from p2p_modelex.node.configuration_file import read_configuration
from p2p_modelex.node.exchange import Exchange, connect
from p2p_modelex.node.settling import settle_home
from p2p_modelex.store.sqlite import SqliteStore
from p2p_modelex.units import AI, Wei
from tests.interop.conftest import Figure
from tests.interop.jspeer import JsPeer, run_js_peer

pytestmark = pytest.mark.interop

CAST = (Character("ada", SENTIMENT, "0.02"),)
PATIENCE_S = 60.0
DEPOSIT = AI
MAX_COST = AI // 10
STRANGERS = 700
WORDS = " ".join(f"word{number}" for number in range(300))
OFFER = {
    "model": "js-echo",
    "weights": "0x" + "77" * 32,
    "kinds": ["completion", "chat"],
    "context_length": 4096,
    "max_tokens": 1024,
    "features": [],
    "prompt_price": str(10**12),
    "completion_price": str(10**13),
    "epoch": 0,
    "credit_tokens": 16,
    "deferred_discount": 0,
}


@asynccontextmanager
async def open_world(folder: Path) -> AsyncGenerator[tuple[Mesh, JsPeer], None]:
    """A mesh of ours with one provider, and a JavaScript peer with $AI that knows the chain."""
    models = folder / "models"
    models.mkdir()
    async with open_mesh(folder, models, print, CAST) as mesh:
        deployment = mesh.deployment
        network = {
            "chain_id": deployment.chain_id,
            "registry": format_address(deployment.registry).lower(),
            "token": format_address(deployment.token).lower(),
            "channels": format_address(deployment.channels).lower(),
            "rpc_url": mesh.net.url,
        }
        async with run_js_peer(folder / "js.log", network=network) as js:
            await grant(mesh.net.url, deployment, {Address(js.account): Wei(100 * AI)})
            yield mesh, js


@pytest.fixture
async def world(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[tuple[Mesh, JsPeer], None]:
    monkeypatch.setenv("MODELEX_PASSPHRASE", PASSPHRASE)
    async with open_world(tmp_path) as opened:
        yield opened


def bootstrap_of(mesh: Mesh) -> str:
    return read_configuration(mesh.homes["client"].configuration).mesh.bootstrap[0]


def key_of(mesh: Mesh, name: str) -> bytes:
    return mesh.keys[name].peer.peer[6:]


async def until(js: JsPeer, condition: Callable[[dict[str, Any]], Any]) -> Any:
    """Wait until the JavaScript peer's status satisfies `condition`; gives what that gave."""
    deadline = trio.current_time() + PATIENCE_S
    while not (found := condition(status := await js.do("status"))):
        status.pop("directory")
        assert trio.current_time() < deadline, status
        await trio.sleep(0.05)
    return found


def find(status: dict[str, Any], key: bytes) -> Any:
    """The advertisement of a peer in the JavaScript peer's directory."""
    rows = {row["peer"]: row["advertisement"] for row in status["directory"]}
    return rows.get("0x" + key.hex())


async def join(mesh: Mesh, js: JsPeer) -> Any:
    """Dial the bootstrap peer, reconcile with it, dial ada where its advertisement says."""
    await js.do("dial", address=bootstrap_of(mesh))
    boot, ada = key_of(mesh, "bootstrap"), key_of(mesh, "ada")
    with trio.fail_after(PATIENCE_S):
        while (advertisement := find(await js.do("status"), ada)) is None:
            await js.do("reconcile", boot)
            await trio.sleep(0.1)
    for address in advertisement["addresses"]:
        await js.do("dial", address=f"{address}/p2p/{format_peer_id(mesh.keys['ada'].peer.peer)}")
    return advertisement


async def test_gossip_and_directory(world: tuple[Mesh, JsPeer], figure: Figure) -> None:
    """A JavaScript peer in a mesh of our processes"""
    mesh, js = world
    boot, ada = key_of(mesh, "bootstrap"), key_of(mesh, "ada")
    advertisement = await join(mesh, js)
    assert advertisement["offers"][0]["model"] == SENTIMENT
    figure("step", "Joins through the bootstrap peer, reconciles as initiator, verifies (ADV)")

    await until(js, lambda status: status["subscribers"] >= 2)
    mesh.processes["ada"].terminate()
    change = await until(js, lambda status: heard(status, ada, {2}))
    await fetch(js, boot, ada, lambda content: content["addresses"] == [])
    figure("step", "Gets a withdrawal by gossip, fetches what was announced")

    await mesh.processes["ada"].wait()
    async with _run_node(mesh, "ada", ()):
        await until(js, lambda status: heard(status, ada, {0, 1}, int(change["sequence"])))
        await fetch(js, boot, ada, lambda content: content["offers"])
        figure("step", "Gets a return by gossip, fetches what was announced")

        await js.do("advertise", offers=[OFFER])
        await until(js, lambda status: status["counters"]["questions"] > 0)
        figure("step", "Gossips its own advertisement, serves those who fetch it")
        await js.do("invent", count=STRANGERS)
        done = await js.do("reconcile", boot)
        assert done["offered"] >= done["taken"] >= STRANGERS
        again = await js.do("reconcile", boot)
        assert (again["rounds"], again["offered"], again["fetched"], again["pulled"]) == (
            1,
            0,
            0,
            0,
        )
        figure("step", f"Offers {STRANGERS} advertisements as initiator; then nothing differs")

        async with connect(mesh.homes["client"].path, PASSPHRASE, via=js.address) as exchange:
            await wait_for(exchange, lambda entries: len(entries) >= STRANGERS + 2)
            entry = exchange.node.core.directory.get(js.peer)
            assert entry is not None
            assert entry.advertisement.offers[0].model == OFFER["model"]
            figure("step", f"Serves {STRANGERS} advertisements to a newcomer of ours, as responder")
            await js.do("advertise", withdraw=True, change=2)
            await wait_for(exchange, lambda _: is_withdrawn(exchange, js))
            figure("step", "Withdraws by gossip; our node has taken it over")
    assert (await js.do("status"))["faults"] == []


async def fetch(js: JsPeer, source: bytes, key: bytes, condition: Callable[[Any], Any]) -> None:
    """Fetch an advertisement until it is the announced one: the source may still be fetching."""
    with trio.fail_after(PATIENCE_S):
        while not condition(find(await js.do("status"), key)):
            await js.do("fetch", source, keys=["0x" + key.hex()])
            await trio.sleep(0.1)


def heard(status: dict[str, Any], key: bytes, changes: set[int], after: int = 0) -> Any:
    """The last announcement of such a change of a peer above a sequence."""
    found = [
        item
        for item in status["announced"]
        if item["peer"] == "0x" + key.hex()
        and item["change"] in changes
        and int(item["sequence"]) > after
    ]
    return found[-1] if found else None


async def wait_for(exchange: Exchange, condition: Callable[[tuple[Entry, ...]], bool]) -> None:
    with trio.fail_after(PATIENCE_S):
        await exchange.node.wait_until(lambda: condition(exchange.node.core.directory.entries()))


def is_withdrawn(exchange: Exchange, js: JsPeer) -> bool:
    entry = exchange.node.core.directory.get(js.peer)
    return entry is None or not entry.advertisement.offers


async def read_received(mesh: Mesh, name: str) -> int:
    """Wei in the newest vouchers that a node of ours holds."""
    async with SqliteStore(mesh.homes[name].database, read_only=True) as store:
        return sum(row.signed.voucher.amount for row in await store.received_vouchers())


async def read_balance(mesh: Mesh, account: bytes) -> int:
    async with EvmChain(mesh.net.url, mesh.deployment, mesh.keys["client"].account) as chain:
        return await chain.fetch_balance(Address(account))


async def test_paid_jobs_of_ours(world: tuple[Mesh, JsPeer], figure: Figure) -> None:
    """JavaScript pays our provider on a real chain"""
    mesh, js = world
    ada = key_of(mesh, "ada")
    await join(mesh, js)
    request = {
        "model": SENTIMENT,
        "kind": "completion",
        "text": "Profits doubled. Sentiment:",
        "max_tokens": 200,
    }
    terms = {"request": request, "max_cost": str(MAX_COST), "deposit": str(DEPOSIT)}
    owed = 0
    for how, label in (({}, "an Order"), ({"quoted": True}, "an Ask, a Quote and an Accept")):
        done = await js.do("buy", ada, **terms, **how)
        assert done["end"]["is"] == "Finished", done["end"]
        assert done["receipt"]["receipt"]["finish"] in {0, 1}
        assert int(done["earned"]) == int(done["receipt"]["receipt"]["price"]) > 0
        owed += int(done["earned"])
        await wait_for_vouchers(mesh, owed)
        figure(
            "step",
            f"A job by {label}: {done['tokens']} tokens in {done['chunks']} chunks, "
            f"{done['pays']} vouchers, receipt good",
        )
    chat = {**request, "kind": "chat", "text": "", "messages": [{"role": "user", "content": "Up"}]}
    done = await js.do("buy", ada, **{**terms, "request": chat})
    assert done["end"]["is"] in {"Finished", "Refused"}
    owed += int(done["earned"])
    cancelled = await js.do("buy", ada, **terms, cancelAfter=1)
    assert cancelled["end"]["is"] == "Finished"
    assert cancelled["receipt"]["receipt"]["finish"] in {0, 1, 2}
    owed += int(cancelled["earned"])
    finish = cancelled["receipt"]["receipt"]["finish"]
    figure("step", f"A job cancelled after its first chunk: receipt good, finish {finish}")
    lost = await js.do("buy", ada, **terms, dropAfter=1)
    owed += int(lost["earned"])
    after = await js.do("buy", ada, **terms, concede=True)
    label = "the next job runs"
    if after["end"]["is"] == "Refused":
        assert after["end"]["code"] == "debt"
        after = await js.do("buy", ada, **terms)
        label = "the next is refused `debt`, which is conceded (LED-11), and then runs"
    assert after["end"]["is"] == "Finished"
    owed += int(after["earned"])
    figure("step", f"A stream dropped in mid-job; {label}")
    operator = mesh.keys["ada"].account.address
    before = await read_balance(mesh, operator)
    await wait_for_vouchers(mesh, owed)  # the last one may still be on its way
    held = await read_received(mesh, "ada")
    await settle_home(mesh.homes["ada"], PASSPHRASE)
    assert await read_balance(mesh, operator) - before == held
    figure("step", "Our provider redeems its vouchers on chain")


async def wait_for_vouchers(mesh: Mesh, amount: int) -> None:
    with trio.fail_after(PATIENCE_S):
        while await read_received(mesh, "ada") < amount:
            await trio.sleep(0.1)


async def test_paid_jobs_of_theirs(world: tuple[Mesh, JsPeer], figure: Figure) -> None:
    """Our requester pays a JavaScript provider on a real chain"""
    mesh, js = world
    await join(mesh, js)
    await js.do("advertise", offers=[OFFER])
    async with connect(mesh.homes["client"].path, PASSPHRASE) as exchange:
        await wait_for(exchange, lambda _: exchange.node.core.directory.get(js.peer) is not None)
        paid = 0
        for prompt, expected in (("to be or not to be", None), (WORDS, None)):
            completion = exchange.run(
                prompt, model="js-echo", kind="completion", max_tokens=len(prompt.split())
            )
            text = "".join([piece.text async for piece in completion if hasattr(piece, "text")])
            assert text == (expected or prompt)
            assert completion.row is not None
            verify_receipt_row(completion.row, mesh.deployment.registry_domain, None)
            assert completion.provider == js.peer
            assert completion.paid == completion.row.receipt.receipt.price > 0
            paid += completion.paid
            figure(
                "step", f"Routed to by probe, {len(prompt.split())} tokens, receipt verified, paid"
            )
        completion = exchange.run(WORDS, model="js-echo", kind="completion", max_tokens=300)
        async for piece in completion:
            if hasattr(piece, "text"):
                await completion.cancel()
        assert completion.row is not None
        assert completion.row.receipt.receipt.finish == 2
        assert completion.row.receipt.receipt.completion_tokens < 300
        paid += completion.paid
        figure("step", "Cancelled in mid-stream: finish 2, paid for what was delivered")
    sold = await until(js, lambda status: len(status["sold"]) == 3 and status["sold"])
    assert sum(int(receipt["price"]) for receipt in sold) == paid
    redeemed = await js.do("redeem")
    assert int(redeemed["after"]) - int(redeemed["before"]) == paid
    figure("step", "Redeems our vouchers on chain, to the wei")
    assert (await js.do("status"))["faults"] == []
