import json
import secrets
from pathlib import Path

import pytest

from p2p_modelex.ids import PublicKey, format_peer_id, peer_id_of
from tests.cli.conftest import Modelex, new_home, nowhere
from tests.cli.contracts.conftest import OWNER, Chain

DIGEST = "0x" + "05" * 32


def new_peer() -> str:
    return format_peer_id(peer_id_of(PublicKey(secrets.token_bytes(32))))


def test_an_entry_from_registration_to_leaving(chain: Chain) -> None:
    key, account = chain.newcomer()
    peer = new_peer()
    sent = chain.json("registry", "register", peer, "--uri", "https://example.org/a", by=key)
    assert (sent["peer"], sent["operator"]) == (peer, account)
    show = ("registry", "show", peer, "--operator", account)
    entry = chain.json(*show)
    assert (entry["section"], entry["sequence"], entry["uri"]) == (
        "public",
        0,
        "https://example.org/a",
    )
    chain.json(
        *("registry", "update", peer, "--digest", DIGEST, "--sequence", 8),
        by=key,
    )
    entry = chain.json(*show)
    assert (entry["digest"], entry["sequence"], entry["uri"]) == (
        DIGEST,
        8,
        "https://example.org/a",
    )
    assert f"peer        {peer}\n" in chain.run(*show).out
    chain.json("registry", "uri", peer, "ipfs://agent", by=key)
    assert chain.json(*show)["uri"] == "ipfs://agent"
    chain.run(
        *("registry", "update", peer, "--digest", DIGEST, "--sequence", 8), by=key
    ).check_error(12, "StaleSequence", "of a sequence over 8")
    chain.json("registry", "leave", peer, by=key)
    chain.run(*show).check_error(2, f"{account} has no entry for {peer}")


def test_handing_over(chain: Chain) -> None:
    (old, operator), (new, successor) = chain.newcomer(), chain.newcomer()
    peer = new_peer()
    chain.json("registry", "register", peer, "--digest", DIGEST, "--sequence", 3, by=old)
    accept = ("registry", "handover", "accept", operator, "--peer", peer)
    chain.run(*accept, by=new).check_error(12, "NotOffered", "offers it first")
    chain.json("registry", "handover", "offer", successor, "--peer", peer, by=old)
    assert chain.json(*accept, by=new)["operator"] == successor
    assert chain.json("registry", "show", peer, "--operator", successor)["sequence"] == 3


def test_the_whitelisted_section(chain: Chain) -> None:
    key, operator = chain.newcomer()
    peer = new_peer()
    chain.json("registry", "register", peer, by=key)
    node, why = (peer, operator), ("--reason", "we looked")
    chain.run("registry", "admit", *node, *why, by=key).check_error(
        12, "AccessControlUnauthorizedAccount", "modelex registry roles show"
    )
    for move, section in (
        ("admit", "whitelisted"),
        ("suspend", "suspended"),
        ("lift", "whitelisted"),
        ("remove", "public"),
    ):
        assert chain.json("registry", move, *node, *why, by=OWNER)["section"] == section
        assert chain.json("registry", "show", peer, "--operator", operator)["section"] == section
    chain.run("registry", "suspend", *node, *why, by=OWNER).check_error(12, "WrongSection")
    assert chain.run("registry", "admit", *node, by=OWNER).code == 2


def test_lists_come_in_pages(chain: Chain) -> None:
    key, operator = chain.newcomer()
    peers = [new_peer() for _ in range(3)]
    before = chain.json("registry", "list", "--section", "public")["total"]
    for peer in peers:
        chain.json("registry", "register", peer, by=key)
    page = (before + 2) // 50 + 1
    said = chain.json("registry", "list", "--section", "public", "--page", page)
    assert (said["total"], said["page"]) == (before + 3, page)
    assert said["rows"][-1]["peer"] == peers[-1]
    assert said["rows"][-1]["operator"] == operator
    assert peers[-1] in chain.run("registry", "list", "--page", page).out
    last = -(-chain.json("registry", "list")["total"] // 50)
    beyond = chain.run("registry", "list", "--page", last + 1)
    beyond.check_error(2, f"there is no page {last + 1}", f"the last one is --page {last}")
    none = chain.run("ratings", "list", new_peer(), operator)
    assert (none.code, none.out, none.err) == (0, "", "there are none\n")


def test_roles(chain: Chain) -> None:
    key, council = chain.newcomer()
    show = ("registry", "roles", "show", council)
    assert chain.json(*show) == {"account": council, "authoriser": False, "admin": False}
    chain.json("registry", "roles", "grant", "authoriser", council, by=OWNER)
    assert chain.run(*show).out.endswith("authoriser  yes\nadmin       no\n")
    chain.json("registry", "roles", "renounce", "authoriser", by=key)
    said = chain.run("registry", "roles", "renounce", "authoriser", by=key)
    said.check_error(2, f"{council} has not the role authoriser", "modelex registry roles show")
    chain.json("registry", "roles", "grant", "admin", council, by=OWNER)
    chain.json("registry", "roles", "revoke", "admin", council, by=OWNER)
    assert chain.json(*show) == {"account": council, "authoriser": False, "admin": False}


def test_the_homes_peer_is_the_default(
    chain: Chain, modelex: Modelex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = new_home(tmp_path / "home", chain.network_file, nowhere())
    monkeypatch.setenv("MODELEX_RPC_URL", chain.url)
    here = ("--home", home.path)
    account = json.loads(modelex("token", "balance", *here, "--json").out)["account"]
    chain.rpc("anvil_setBalance", account, hex(10**18))
    assert modelex("registry", "register", *here).code == 0
    said = modelex("registry", "show", *here, "--json")
    assert json.loads(said.out)["operator"] == account
    assert modelex("registry", "leave", *here).code == 0


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("register", "12D3KooW"), "peer"),
        (("register", new_peer(), "--digest", DIGEST), "give both or neither"),
        (("update", new_peer(), "--digest", "05", "--sequence", "1"), "not a digest"),
        (("update", new_peer(), "--digest", DIGEST, "--sequence", "-1"), "--sequence"),
        (("admit", new_peer(), "0x1", "--reason", "x"), "not an EVM address"),
        (("list", "--section", "secret"), "--section"),
        (("list", "--page", "0"), "--page"),
    ],
)
def test_bad_input_is_refused(chain: Chain, words: tuple[str, ...], part: str) -> None:
    reading = words[0] == "list"
    said = chain.run("registry", *words, by=None if reading else OWNER)
    assert said.code == 2, said
    assert part in said.err


def test_without_a_key_nothing_is_sent(chain: Chain, modelex: Modelex, tmp_path: Path) -> None:
    none = ("--home", tmp_path / "none")
    said = chain.run("registry", "leave", new_peer(), *none)
    said.check_error(3, "is not a home of Modelex", "give --key-file FILE, or")
    said = modelex("token", "info", "--rpc", chain.url, *none)
    said.check_error(3, "is not a home of Modelex", "give --network-file FILE, or")


def test_what_has_no_entry_is_named(chain: Chain) -> None:
    key, account = chain.newcomer()
    node, shown = (new_peer(), account), f"{account} has no entry for this peer"
    said = chain.run("registry", "admit", *node, "--reason", "x", by=OWNER)
    said.check_error(12, "NoEntry", shown, "modelex registry list")
    scores = ("--accuracy", 1, "--response", 1, "--uptime", 1)
    chain.run("ratings", "rate", *node, *scores, by=OWNER).check_error(12, "NoEntry", shown)
    said = chain.run("registry", "uri", node[0], "ipfs://x", by=key)
    said.check_error(12, "NoAgent", "modelex registry register")
    said = chain.run("registry", "leave", "notapeer", by=key)
    said.check_error(2, "not an Ed25519 peer id: 'notapeer'")
