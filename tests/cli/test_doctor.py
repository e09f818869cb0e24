"""The doctor names each thing that is wrong and what to do; a healthy home it calls well."""

import socket
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from p2p_modelex.cli.doctor import EXIT_CODE
from p2p_modelex.demo.mesh import SENTIMENT, Mesh
from p2p_modelex.node.home import Home
from p2p_modelex.node.model_settings import ModelSettings
from p2p_modelex.records.rows import SettingRow
from p2p_modelex.store.sqlite import SqliteStore
from tests.cli.conftest import NETWORK, Modelex, Said, edit, new_home, nowhere


def finding_of(said: Said, name: str) -> str:
    """Return the lines of a finding that something is wrong."""
    assert said.code == EXIT_CODE, said
    assert "Traceback" not in said.err
    lines = said.out.splitlines()
    at = next(at for at, line in enumerate(lines) if line.startswith(f"WRONG {name}: "))
    assert lines[at + 1].startswith("      try: "), said
    return "\n".join(lines[at : at + 2])


def test_a_healthy_home_is_well(modelex: Modelex, mesh: Mesh) -> None:
    said = modelex("doctor", "--home", mesh.homes["client"].path)
    assert (said.code, said.out.splitlines()[-1]) == (0, "all is well"), said
    checks = [line.split()[1] for line in said.out.splitlines()[:-1]]
    assert checks[:3] == ["configuration:", "disk:", "keys:"]
    assert "WRONG" not in said.out


def test_a_healthy_provider_is_well(modelex: Modelex, mesh: Mesh) -> None:
    said = modelex("doctor", "--home", mesh.homes["ada"].path)
    assert f"{SENTIMENT}: digest matches" in said.out
    assert (said.code, said.out.splitlines()[-1]) == (0, "all is well"), said


def test_no_home(modelex: Modelex, tmp_path: Path) -> None:
    said = modelex("doctor", "--home", tmp_path)
    assert "modelex init" in finding_of(said, "configuration")


def test_a_malformed_configuration(modelex: Modelex, lonely: Home) -> None:
    edit(lonely, ("[mesh]", "[mesh]\nlissten = 1"))
    assert "did you mean `listen`" in finding_of(
        modelex("doctor", "--home", lonely.path), "configuration"
    )


def test_an_upstream_that_is_not_there(modelex: Modelex, tmp_path: Path) -> None:
    network_file = tmp_path / "nowhere.toml"
    network_file.write_text(NETWORK)
    away = ModelSettings(model="big", engine="upstream", upstream_url="http://127.0.0.1:1/v1")
    configuration = replace(nowhere("provider"), models=(away,))
    home = new_home(tmp_path / "fronting", network_file, configuration)
    said = modelex("doctor", "--home", home.path)
    assert "broke off" in finding_of(said, "models")
    assert "is http://127.0.0.1:1/v1 up?" in finding_of(said, "models")


def test_the_wrong_passphrase(
    modelex: Modelex, lonely: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELEX_PASSPHRASE", "guess")
    found = finding_of(modelex("doctor", "--home", lonely.path), "keys")
    assert "wrong passphrase" in found
    assert "MODELEX_PASSPHRASE" in found


def test_chain_and_bootstrap_peer_are_down(modelex: Modelex, lonely: Home) -> None:
    said = modelex("doctor", "--home", lonely.path)
    assert "is the endpoint running" in finding_of(said, "chain")
    assert "modelex bootstrap" in finding_of(said, "bootstrap")
    assert "2 things to mend" in said.out


def test_the_wrong_network(modelex: Modelex, client: Home) -> None:
    network = client.path / "network.toml"
    network.write_text(network.read_text().replace("31337", "1"))
    said = modelex("doctor", "--home", client.path)
    assert "serves chain 31337" in finding_of(said, "chain")


def test_a_chain_started_afresh(modelex: Modelex, client: Home) -> None:
    trio.run(_bind_to_another_chain, client)
    said = modelex("doctor", "--home", client.path)
    assert "is not the one this home was used with" in finding_of(said, "chain")
    said = modelex("settle", "--home", client.path)
    said.check_error(12, "is not the one this home was used with", "--state")


async def _bind_to_another_chain(home: Home) -> None:
    async with SqliteStore(home.database) as store:
        await store.apply([SettingRow("genesis", bytes(32))])


def test_no_money(modelex: Modelex, mesh: Mesh, client: Home) -> None:
    found = finding_of(modelex("doctor", "--home", client.path), "account")
    assert "no coin for gas" in found
    assert "modelex chain grant 0x" in found
    assert f" --rpc {mesh.net.url} --network-file {client.path / 'network.toml'}" in found


def test_a_damaged_database(modelex: Modelex, lonely: Home) -> None:
    lonely.database.write_bytes(b"not a database at all" * 100)
    found = finding_of(modelex("doctor", "--home", lonely.path), "database")
    assert "backup" in found


def test_a_damaged_model_file(modelex: Modelex, lonely: Home) -> None:
    assert modelex("models", "add", SENTIMENT, "--home", lonely.path).code == 0
    [file] = lonely.models.glob("*.gguf")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.chmod(0o600)
    file.write_bytes(content)
    edit(lonely, ('#role = "requester"', 'role = "provider"'))
    text = lonely.configuration.read_text()
    lonely.configuration.write_text(f'{text}\n[[models]]\nmodel = "{SENTIMENT}"\n')
    found = finding_of(modelex("doctor", "--home", lonely.path), "models")
    assert f"modelex models remove {SENTIMENT}" in found


def test_a_taken_port(modelex: Modelex, lonely: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        edit(
            lonely, ('listen = ["/ip4/127.0.0.1/tcp/0"]', f'listen = ["/ip4/127.0.0.1/tcp/{port}"]')
        )
        found = finding_of(modelex("doctor", "--home", lonely.path), "port")
    assert f"tcp/{port}" in found
    assert "mesh.listen" in found


def test_a_port_that_was_in_use_a_moment_ago_is_free(modelex: Modelex, lonely: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as caller:
            # Whoever closes first keeps the port in TIME-WAIT.
            server.accept()[0].close()
            assert caller.recv(1) == b""
    edit(lonely, ("127.0.0.1/tcp/0", f"127.0.0.1/tcp/{port}"))
    assert f"tcp/{port} can be listened on" in modelex("doctor", "--home", lonely.path).out


def test_no_bootstrap_peers_at_all(modelex: Modelex, tmp_path: Path, lonely: Home) -> None:
    text = lonely.configuration.read_text()
    lines = ["" if line.startswith("bootstrap =") else line for line in text.splitlines()]
    lonely.configuration.write_text("\n".join(lines))
    assert "mesh.bootstrap" in finding_of(modelex("doctor", "--home", lonely.path), "bootstrap")


def test_a_running_node_is_not_called_a_taken_port(modelex: Modelex, lonely: Home) -> None:
    with lonely.lock():
        said = modelex("doctor", "--home", lonely.path)
    assert "in use by process" in said.out
    assert "WRONG port" not in said.out
