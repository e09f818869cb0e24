"""Every row of bad input that a person can cause: what is wrong, what to do, the exit code."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from p2p_modelex.demo.mesh import PASSPHRASE, SENTIMENT, Mesh
from p2p_modelex.node import exchange
from p2p_modelex.node.home import Home
from tests.cli.conftest import Modelex, edit, new_home, nowhere

RUN = ("run", "Headline: profits doubled\nSentiment:", "--kind", "score", "--max-tokens", "2")


def run_at(home: Home, *more: object) -> tuple[object, ...]:
    return (*RUN, "--home", home.path, "--model", SENTIMENT, *more)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "SYNC_TIMEOUT_S", 0.5)


class TestWhatIsAsked:
    def test_an_unknown_model_is_told_the_nearest(self, modelex: Modelex, mesh: Mesh) -> None:
        home = mesh.homes["client"].path
        said = modelex(*RUN, "--home", home, "--model", "news-sentimant")
        said.check_error(8, "nobody offers news-sentimant; nearest: news-sentiment", "nodes")

    def test_a_price_above_the_ceiling_names_the_cheapest(
        self, modelex: Modelex, mesh: Mesh
    ) -> None:
        said = modelex(*run_at(mesh.homes["client"], "--max-price", "0.000000000001"))
        said.check_error(8, "ceiling of 0.000000000001 AI; the cheapest is 0.00", "--max-price")

    def test_a_prompt_over_the_context_names_the_longest(
        self, modelex: Modelex, mesh: Mesh
    ) -> None:
        arguments = list(run_at(mesh.homes["client"]))
        arguments[1] = "word " * 4000
        modelex(*arguments).check_error(8, "the longest context is", "shorten the prompt")

    def test_what_only_the_tokenizer_finds_too_long_is_refused_by_the_provider(
        self, modelex: Modelex, mesh: Mesh
    ) -> None:
        arguments = list(run_at(mesh.homes["client"]))
        arguments[1] = "&%$" * 250
        modelex(*arguments).check_error(9, "prompt_too_long", "shorten the prompt")

    def test_a_kind_that_is_not_served_names_those_that_are(
        self, modelex: Modelex, mesh: Mesh
    ) -> None:
        home = mesh.homes["client"].path
        said = modelex("run", "Hello", "--home", home, "--model", SENTIMENT)
        said.check_error(8, "serves chat", "completion, score", "--kind")

    def test_a_peer_that_sells_nothing_is_no_provider(self, modelex: Modelex, mesh: Mesh) -> None:
        address = read_bootstrap(mesh)
        said = modelex(*run_at(mesh.homes["client"], "--peer", address.rpartition("/")[2]))
        said.check_error(8, "peers that were denied or not named")

    @pytest.mark.parametrize(
        ("option", "value", "part"),
        [
            ("--peer", "somewhere", "not an Ed25519 peer id"),
            ("--peer", "/ip4/127.0.0.1/tcp/1", "not a multiaddr with a peer id"),
            ("--peer", "/p2p/12D3KooW", "not a multiaddr with a peer id"),
            ("--max-price", "cheap", "not an amount of AI"),
            ("--max-price", "-1", "not an amount of AI"),
            ("--max-price", "0.0000000000000000001", "not an amount of AI"),
            ("--model", "two words", "out of bounds"),
        ],
    )
    def test_a_malformed_value_is_quoted(
        self, modelex: Modelex, lonely: Home, option: str, value: str, part: str
    ) -> None:
        said = modelex(*run_at(lonely, option, value))
        assert said.code == 2
        assert part in said.err
        assert "Traceback" not in said.err

    @pytest.mark.parametrize(("option", "value"), [("--max-tokens", "0"), ("--temperature", "9")])
    def test_a_number_out_of_range_is_told_the_range(
        self, modelex: Modelex, lonely: Home, option: str, value: str
    ) -> None:
        said = modelex(*run_at(lonely, option, value))
        assert said.code == 2
        assert option in said.err
        assert "range" in said.err

    def test_an_empty_prompt_is_refused(self, modelex: Modelex, lonely: Home) -> None:
        said = modelex("run", " \n", "--home", lonely.path, "--model", "m")
        assert (said.code, said.err) == (2, "error: the prompt is empty\n")


class TestMoney:
    def test_an_account_without_money_is_told_so(self, modelex: Modelex, client: Home) -> None:
        modelex(*run_at(client)).check_error(11, "no_channel", "modelex balance")

    def test_without_automatic_deposits_a_missing_channel_is_named(
        self, modelex: Modelex, client: Home
    ) -> None:
        edit(client, ('auto_deposit = "1"', 'auto_deposit = "0"'))
        said = modelex(*run_at(client))
        said.check_error(11, "no channel has enough left, and automatic deposits are off")

    def test_deposits_stop_at_their_limit(self, modelex: Modelex, client: Home) -> None:
        edit(client, ('#max_deposits = "100"', 'max_deposits = "0"'))
        modelex(*run_at(client)).check_error(11, "max_deposits")


class TestNetwork:
    def test_no_peer_answers(
        self, modelex: Modelex, mesh: Mesh, tmp_path: Path, impatient: None
    ) -> None:
        home = new_home(tmp_path / "home", mesh.folder / "network.toml", nowhere())
        edit(home, ("http://127.0.0.1:1", mesh.net.url))
        modelex(*run_at(home)).check_error(7, "no peer answered", "modelex doctor")

    def test_no_bootstrap_peer_is_configured(self, modelex: Modelex, lonely: Home) -> None:
        text = lonely.configuration.read_text()
        lines = ["" if line.startswith("bootstrap =") else line for line in text.splitlines()]
        lonely.configuration.write_text("\n".join(lines))
        modelex("nodes", "--home", lonely.path).check_error(3, "no bootstrap peers", "[mesh]")

    @pytest.mark.parametrize("command", ["nodes", "balance", "channels", "settle"])
    def test_the_chain_is_unreachable(self, modelex: Modelex, lonely: Home, command: str) -> None:
        said = modelex(command, "--home", lonely.path)
        said.check_error(12, "http://127.0.0.1:1", "is the endpoint running")

    def test_the_endpoint_serves_another_chain(self, modelex: Modelex, client: Home) -> None:
        network = client.path / "network.toml"
        network.write_text(network.read_text().replace("31337", "1"))
        said = modelex("balance", "--home", client.path)
        said.check_error(12, "serves chain 31337", "is on chain 1")

    def test_the_contracts_are_not_there(self, modelex: Modelex, mesh: Mesh, lonely: Home) -> None:
        edit(lonely, ("http://127.0.0.1:1", mesh.net.url))
        said = modelex("balance", "--home", lonely.path)
        said.check_error(12, "there is no AIToken at 0x", "network file")


class TestHome:
    def test_no_home(self, modelex: Modelex, tmp_path: Path) -> None:
        for command in (
            ("nodes",),
            ("up",),
            ("balance",),
            ("run", "x", "--model", "m"),
            ("models", "add", SENTIMENT),
            ("models", "list"),
            ("models", "remove", SENTIMENT),
        ):
            said = modelex(*command, "--home", tmp_path / "none")
            said.check_error(3, "is not a home of Modelex", "modelex init")
        assert not (tmp_path / "none").exists()

    def test_the_wrong_passphrase(
        self, modelex: Modelex, lonely: Home, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MODELEX_PASSPHRASE", "guess")
        said = modelex("up", "--home", lonely.path)
        said.check_error(4, "wrong passphrase", "MODELEX_PASSPHRASE")
        assert "guess" not in said.err

    def test_a_malformed_configuration_names_line_and_remedy(
        self, modelex: Modelex, lonely: Home
    ) -> None:
        edit(lonely, ("[mesh]", '[mesh]\nlissten = ["x"]'))
        said = modelex("up", "--home", lonely.path)
        said.check_error(3, "line ", "unknown option `mesh.lissten`", "did you mean `listen`?")

    def test_a_requester_cannot_be_registered(self, modelex: Modelex, lonely: Home) -> None:
        said = modelex("up", "--register", "--home", lonely.path)
        said.check_error(2, "a requester has nothing to register", "add a model")

    def test_a_second_node_on_the_same_home(self, modelex: Modelex, lonely: Home) -> None:
        with lonely.lock():
            said = modelex("bootstrap", "--home", lonely.path)
        said.check_error(3, "is in use by process", "--home")

    def test_a_second_node_on_the_same_port(self, modelex: Modelex, lonely: Home) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            said = modelex(
                "bootstrap", "--home", lonely.path, "--listen", f"/ip4/127.0.0.1/tcp/{port}"
            )
        said.check_error(3, f"/ip4/127.0.0.1/tcp/{port}", "in use", "choose another port")

    def test_a_malformed_address_to_listen_on(self, modelex: Modelex, lonely: Home) -> None:
        said = modelex("bootstrap", "--home", lonely.path, "--listen", "localhost:4701")
        assert said.code in (2, 3)
        assert "localhost:4701" in said.err
        assert "Traceback" not in said.err

    def test_a_corrupt_database(self, modelex: Modelex, lonely: Home) -> None:
        lonely.database.write_bytes(b"not a database at all" * 100)
        said = modelex("bootstrap", "--home", lonely.path)
        said.check_error(5, str(lonely.database), "restore it from a backup")

    def test_a_full_disk(self, lonely: Home) -> None:
        # In a process of its own, with files of at most 4 KiB: like a disk that fills up.
        program = f"{sys.executable} -m p2p_modelex bootstrap --home {lonely.path}"
        done = subprocess.run(
            ["/bin/sh", "-c", f"ulimit -f 8; exec {program}"],
            # Without the variable Python would cut its own compiled files short, and keep them.
            env={
                "MODELEX_PASSPHRASE": PASSPHRASE,
                "PATH": "/usr/bin:/bin",
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 5, done.stderr
        assert "error: the disk is full" in done.stderr
        assert "\n  try: " in done.stderr
        assert "Traceback" not in done.stderr

    def test_output_that_cannot_be_written(self) -> None:
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(
                [sys.executable, "-m", "p2p_modelex", "--version"],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        assert done.returncode == 2
        assert done.stderr.startswith("error: cannot write the output: No space left on device\n")
        assert "\n  try: " in done.stderr

    def test_a_provider_without_its_model(
        self, modelex: Modelex, mesh: Mesh, tmp_path: Path
    ) -> None:
        home = new_home(tmp_path / "p", mesh.folder / "network.toml", nowhere())
        edit(home, ("http://127.0.0.1:1", mesh.net.url))
        edit(home, ('#role = "requester"', 'role = "provider"'))
        modelex("up", "--home", home.path).check_error(3, "a provider has no model to sell")
        text = home.configuration.read_text()
        home.configuration.write_text(text + f'\n[[models]]\nmodel = "{SENTIMENT}"\n')
        said = modelex("up", "--home", home.path)
        assert said.code in (2, 3, 13)
        assert SENTIMENT in said.err
        assert "modelex models add" in said.err


def read_bootstrap(mesh: Mesh) -> str:
    text = mesh.homes["client"].configuration.read_text()
    line = next(line for line in text.splitlines() if line.startswith("bootstrap ="))
    return line.split('"')[1]
