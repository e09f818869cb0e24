"""What the commands print, for people and for programs."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from eth_account import Account

from p2p_modelex.cli import COMMANDS
from p2p_modelex.cli.text import printable
from p2p_modelex.demo.mesh import SENTIMENT, Mesh
from p2p_modelex.ids import format_address, format_peer_id
from p2p_modelex.node.configuration_file import read_configuration
from p2p_modelex.node.home import Home
from tests.cli.conftest import NETWORK, Modelex

TRIES = 10
KEY = bytes.fromhex("4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318")


def test_every_command_explains_itself_in_80_columns(modelex: Modelex) -> None:
    for command in ((), *((name,) for name in COMMANDS)):
        said = modelex(*command, "--help")
        assert said.code == 0
        assert "Usage:" in said.out
        assert max(map(len, said.out.splitlines())) <= 80, said.out


def test_a_wrong_command_or_option_says_so(modelex: Modelex) -> None:
    assert "No such command" in modelex("rum").err
    said = modelex("run", "--modle", "x")
    assert said.code == 2
    assert "--model" in said.err


def test_nodes_are_listed_whole_in_80_columns(modelex: Modelex, mesh: Mesh) -> None:
    said = modelex("nodes", "--home", mesh.homes["client"].path)
    assert said.code == 0, said
    for name in ("ada", "bert"):
        assert format_peer_id(mesh.keys[name].peer.peer) in said.out
    assert said.out.count(SENTIMENT) == 2
    assert max(map(len, said.out.splitlines())) <= 80, said.out


def test_nodes_for_programs(modelex: Modelex, mesh: Mesh) -> None:
    said = modelex("nodes", "--home", mesh.homes["client"].path, "--json")
    by_peer = {node["peer"]: node for node in json.loads(said.out)}
    ada = by_peer[format_peer_id(mesh.keys["ada"].peer.peer)]
    assert ada["offers"][0]["completion_wei"] == str(2 * 10**13)
    assert ada["addresses"][0].startswith("/ip4/127.0.0.1/tcp/")
    assert ada["latency_ms"] > 0


def test_nodes_show_what_the_registry_says_of_them(modelex: Modelex, mesh: Mesh) -> None:
    ada, bert = (mesh.keys[name] for name in ("ada", "bert"))
    for _ in range(TRIES):  # the node anchors itself beside its start
        said = modelex("nodes", "--home", mesh.homes["client"].path, "--json")
        by_peer = {node["peer"]: node for node in json.loads(said.out)}
        hers, his = (by_peer[format_peer_id(keys.peer.peer)] for keys in (ada, bert))
        if hers["claimed_section"] == "public":
            break
    account = format_address(ada.account.address)
    assert (hers["section"], hers["anchor"], hers["operator"]) == ("registered", "current", account)
    assert (his["section"], his["anchor"], his["operator"]) == ("unregistered", "none", None)
    assert his["claimed_section"] == "unregistered"
    said = modelex("nodes", "--home", mesh.homes["client"].path)
    assert f"{format_peer_id(ada.peer.peer)}  registered, " in said.out
    assert f"  anchored by {account}: current\n" in said.out
    beside = ("--home", mesh.homes["bert"].path)
    assert modelex("registry", "register", *beside).code == 0
    said = modelex("nodes", "--home", mesh.homes["client"].path)
    assert modelex("registry", "leave", *beside).code == 0
    assert f"  registered by {format_address(bert.account.address)}: no anchor\n" in said.out


def test_a_run_is_kept_to_a_section_of_the_registry(modelex: Modelex, mesh: Mesh) -> None:
    home = mesh.homes["client"].path
    told = ("run", "x", "--home", home, "--model", SENTIMENT, "--kind", "score")
    said = modelex(*told, "--section", "whitelisted")
    said.check_error(8, "RTE-14: nobody is whitelisted; there are: ", "--section")
    assert "Invalid value for '--section'" in modelex(*told, "--section", "best").err


def test_a_route_is_explained_and_nothing_is_ordered(modelex: Modelex, mesh: Mesh) -> None:
    home = mesh.homes["client"].path
    told = ("route", "x", "--home", home, "--model", SENTIMENT, "--kind", "score")
    peers = {format_peer_id(mesh.keys[name].peer.peer) for name in ("ada", "bert")}
    assert modelex(*told).out.strip() in peers
    said = json.loads(modelex(*told, "--json").out)
    assert (said["profile"], said["picker"]) == ("default", "power_of_d")
    assert {one["peer"] for one in said["ranked"]} == peers
    assert said["ranked"][0]["score"] >= said["ranked"][1]["score"]
    # They were asked: who told nothing would score a quarter.
    assert all(one["scores"]["load"] > 0.25 for one in said["ranked"])
    assert said["why"].startswith("the highest score, ")
    out = modelex(*told, "--explain", "--profile", "cheapest").out
    assert "profile cheapest, picker cheapest; " in out
    assert ": the cheapest, " in out
    said_no = modelex(*told, "--section", "whitelisted", "--explain")
    assert "left out by section (RTE-14)" in said_no.out
    said_no.check_error(8, "RTE-14: nobody is whitelisted")
    modelex(*told, "--profile", "best").check_error(2, "no routing profile 'best'", "sticky")


def test_init_says_whether_the_node_registers(modelex: Modelex, tmp_path: Path) -> None:
    network = tmp_path / "network.toml"
    network.write_text(NETWORK)
    for name, options in (("plain", ()), ("known", ("--register",))):
        told = ("--network", network, "--model", SENTIMENT, *options)
        assert modelex("init", "--home", tmp_path / name, *told).code == 0
        configuration = read_configuration(tmp_path / name / "modelex.toml")
        assert configuration.registry.register == (name == "known")
    said = modelex("init", "--home", tmp_path / "buyer", "--network", network, "--register")
    said.check_error(3, "a requester has nothing to register")


def test_nodes_of_a_model_nobody_sells(modelex: Modelex, mesh: Mesh) -> None:
    said = modelex("nodes", "--home", mesh.homes["client"].path, "--model", "none")
    assert (said.code, said.out) == (0, "")
    assert "nobody sells none" in said.err


def test_a_run_from_a_named_peer_is_paid_by_channel(modelex: Modelex, mesh: Mesh) -> None:
    home = mesh.homes["client"]
    bert = format_peer_id(mesh.keys["bert"].peer.peer)
    [node] = [
        node
        for node in json.loads(modelex("nodes", "--home", home.path, "--json").out)
        if node["peer"] == bert
    ]
    how = ("--model", SENTIMENT, "--kind", "score", "--max-tokens", 2)
    via = f"{node['addresses'][0]}/p2p/{bert}"
    said = modelex("run", "Headline: x\nSentiment:", "--home", home.path, *how, "--peer", via)
    assert said.code == 0, said
    assert said.err.splitlines()[-1].startswith(f"{bert} · ")
    receipt = said.err.rpartition("receipt verified: ")[2].strip()
    assert modelex("verify", receipt, "--home", home.path).code == 0

    shown = modelex("channels", "--home", home.path)
    assert "payer with 0x" in shown.out
    assert max(map(len, shown.out.splitlines())) <= 80, shown.out
    channels = json.loads(modelex("channels", "--home", home.path, "--json").out)
    assert all(int(channel["deposit_wei"]) == 10**18 for channel in channels)
    balance = json.loads(modelex("balance", "--home", home.path, "--json").out)
    assert int(balance["wei"]) == 1000 * 10**18 - sum(int(c["deposit_wei"]) for c in channels)


@pytest.mark.parametrize("change", [b"\x00", b"{", b"0x"])
def test_a_file_that_is_no_receipt_is_refused(
    modelex: Modelex, lonely: Home, tmp_path: Path, change: bytes
) -> None:
    path = tmp_path / "receipt.json"
    path.write_bytes(change)
    said = modelex("verify", path, "--home", lonely.path)
    said.check_error(2, f"{path}: file: ", "--receipt")


def test_several_receipts_get_a_line_each_and_the_bad_one_is_named(
    modelex: Modelex, mesh: Mesh, tmp_path: Path
) -> None:
    home, names = mesh.homes["client"], ("one.json", "two.json")
    for name in names:
        asked = ("--model", SENTIMENT, "--kind", "score", "--max-tokens", 2)
        said = modelex("run", "Go", "--home", home.path, *asked, "--receipt", tmp_path / name)
        assert said.code == 0, said
    one, two = (tmp_path / name for name in names)
    said = modelex("verify", one, two, "--home", home.path)
    assert said.code == 0, said
    first, second, last = said.out.splitlines()
    assert first.startswith(f"good  {one}: {SENTIMENT}, ")
    assert second.startswith(f"good  {two}: {SENTIMENT}, ")
    assert last == "all 2 receipts are good"
    one.write_text(one.read_text().replace(SENTIMENT, "another"))
    said = modelex("verify", one, two, "--home", home.path)
    assert said.code == 14
    assert said.out.startswith(f"BAD   {one}: ")
    assert f"\ngood  {two}: " in said.out
    assert said.err == f"error: 1 of 2 receipts is bad: {one}\n"
    one.write_text("{}")
    said = modelex("verify", one, two, "--home", home.path)
    assert (said.code, said.out.startswith(f"BAD   {one}: file: not a")) == (14, True)
    said = modelex("verify", one, "--home", home.path)
    said.check_error(2, f"{one}: file: not a Modelex receipt", "--receipt")
    said = modelex("verify", two, tmp_path / "three.json", "--home", home.path)
    assert (said.code, said.out) == (2, "")
    assert f"{tmp_path / 'three.json'}" in " ".join(said.err.split())


def test_verify_needs_to_know_the_network(modelex: Modelex, tmp_path: Path) -> None:
    path = tmp_path / "receipt.json"
    path.write_text("{}")
    modelex("verify", path, "--home", tmp_path / "none").check_error(3, "--network")


def test_init_makes_no_home_of_what_would_not_start(modelex: Modelex, tmp_path: Path) -> None:
    network, home = tmp_path / "network.toml", tmp_path / "home"
    network.write_text('{"model": "news-sentiment"}')
    told = ("init", "--home", home, "--network", network)
    modelex(*told).check_error(3, "network.toml")
    network.write_text(NETWORK)
    said = modelex(*told, "--model", f"{SENTIMENT}:cheap")
    said.check_error(2, f"'{SENTIMENT}:cheap'", f"{SENTIMENT}:0.02")
    assert not home.exists()


def test_init_says_what_to_do_next(modelex: Modelex, tmp_path: Path) -> None:
    network, home = tmp_path / "network.toml", tmp_path / "home"
    network.write_text(NETWORK)
    told = ("--network", network, "--model", f"{SENTIMENT}:0.02")
    said = modelex("init", "--home", home, *told)
    assert said.code == 0, said
    account = next(line.split()[1] for line in said.out.splitlines() if "account" in line)
    for command in (
        f"modelex chain grant {account}",
        f"modelex models add {SENTIMENT} --home {home}",
        f"modelex up --home {home}",
    ):
        assert command in said.out
    modelex("init", "--home", home, *told).check_error(3, "is a home of Modelex already")


def test_init_says_how_to_grant_on_a_chain_that_is_elsewhere(
    modelex: Modelex, tmp_path: Path
) -> None:
    network = tmp_path / "my network.toml"
    network.write_text(NETWORK)
    url = "http://127.0.0.1:1"
    said = modelex("init", "--home", tmp_path / "home", "--network", network, "--rpc", url)
    assert said.code == 0, said
    assert f" --rpc {url} --network-file '{network}'   # " in said.out


def test_money_is_granted_where_the_environment_says(
    modelex: Modelex, mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = Account.from_key(KEY).address
    told = ("chain", "grant", account, 5, "--network-file", mesh.folder / "network.toml")
    monkeypatch.setenv("MODELEX_RPC_URL", "http://127.0.0.1:1")
    modelex(*told).check_error(12, "http://127.0.0.1:1")
    monkeypatch.setenv("MODELEX_RPC_URL", mesh.net.url)
    said = modelex(*told)
    assert (said.code, said.out) == (0, f"{account} got 5 AI and coin for gas\n"), said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_devnet_says_what_init_needs_and_ends_in_good_order(
    tmp_path: Path, number: signal.Signals
) -> None:
    network = tmp_path / "network.toml"
    told = ("chain", "devnet", "--port", "0", "--network-file", str(network))
    with subprocess.Popen(
        [sys.executable, "-m", "p2p_modelex", *told],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        last = next(line for line in process.stdout if "modelex init" in line)
        assert f"modelex init --network {network} --rpc http://127.0.0.1:" in last
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")


def test_init_asks_for_the_passphrase_of_a_wallets_file(
    modelex: Modelex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, wallet = tmp_path / "network.toml", tmp_path / "wallet.json"
    network.write_text(NETWORK)
    wallet.write_text(json.dumps(Account.encrypt(KEY, "theirs", kdf="scrypt", iterations=2)))
    wallet.chmod(0o600)
    monkeypatch.setattr("getpass.getpass", lambda _: "theirs")
    told = ("--network", network, "--key-file", wallet)
    said = modelex("init", "--home", tmp_path / "home", *told)
    assert said.code == 0, said
    assert Account.from_key(KEY).address.lower() in said.out
    monkeypatch.setattr("getpass.getpass", lambda _: "ours")
    said = modelex("init", "--home", tmp_path / "other", *told)
    said.check_error(4, "wrong passphrase")


def test_ctrl_c_ends_a_node_in_good_order(modelex: Modelex, lonely: Home) -> None:
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "p2p_modelex", "bootstrap", "--home", str(lonely.path)]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("listening on /ip4/127.0.0.1/tcp/")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "leaving" in err
    assert "Traceback" not in err


def test_remote_text_cannot_move_the_cursor() -> None:
    assert printable("a\x1b[2Jb\x9bc\rd\u202ee\n\tf\x07") == "a[2Jbcde\n\tf"


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from p2p_modelex.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'libp2p', 'web3', 'trio', 'rich', 'ctransformers', 'msgspec'}"
        " & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stderr == b"[]\n"
