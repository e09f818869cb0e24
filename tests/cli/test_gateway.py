"""`modelex keys`, `modelex gateway`, and the gateway beside a node, as processes on a real mesh."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from x402.http.clients.requests import x402_requests

from p2p_modelex.chain.devnet import GAS_MONEY, fund, grant
from p2p_modelex.demo.mesh import PASSPHRASE, SENTIMENT, Mesh
from p2p_modelex.errors import BadInput, ConfigurationError
from p2p_modelex.ids import format_peer_id
from p2p_modelex.keys.keystore import unlock_keystore
from p2p_modelex.node.charging_settings import X402Settings
from p2p_modelex.node.configuration import GatewaySettings
from p2p_modelex.node.configuration_file import read_configuration
from p2p_modelex.node.home import Home
from p2p_modelex.node.model_settings import ModelSettings
from p2p_modelex.units import AI, Wei
from tests.cli.conftest import Modelex, new_home
from tests.node.gateway.charging.paying import PAYER, payer_of

SCORE = {
    "model": SENTIMENT,
    "prompt": "Headline: Bank profits soar\nSentiment:",
    "max_tokens": 2,
    "temperature": 0,
    "modelex": {"kind": "score"},
}


def test_keys_are_shown_once_listed_and_removed(modelex: Modelex, lonely: Home) -> None:
    at = ("--home", lonely.path)
    assert json.loads(modelex("keys", "list", *at, "--json").out) == []
    secret = modelex("keys", "add", "ada", "--rate", 10, *at).out.strip()
    assert secret.startswith("mdx-")
    [key] = json.loads(modelex("keys", "list", *at, "--json").out)
    assert key == {
        "name": "ada",
        "budget_wei": None,
        "spent_wei": "0",
        "epoch": 0,
        "rate_per_minute": 10,
    }
    shown = modelex("keys", "list", *at)
    assert secret not in shown.out
    assert max(map(len, shown.out.splitlines())) <= 80
    modelex("keys", "add", "ada", *at).check_error(BadInput.exit_code, "already")
    modelex("keys", "add", "b", "--budget", "much", *at).check_error(BadInput.exit_code, "amount")
    assert modelex("keys", "remove", "ada", *at).code == 0
    modelex("keys", "remove", "ada", *at).check_error(BadInput.exit_code, "no key")


def test_a_bad_home_or_port_is_explained(
    modelex: Modelex, lonely: Home, mesh: Mesh, tmp_path: Path
) -> None:
    code = ConfigurationError.exit_code
    modelex("keys", "list", "--home", tmp_path / "none").check_error(code, "modelex init")
    modelex("gateway", "--home", tmp_path / "none").check_error(code, "modelex init")
    provider = mesh.homes["ada"]
    modelex("gateway", "--home", provider.path).check_error(code, "provider", "modelex up")
    lonely.api_keys.write_text("damaged")
    modelex("keys", "list", "--home", lonely.path).check_error(code, "damaged")


@contextmanager
def running(*arguments: object) -> Iterator[str]:
    """Run a command that serves the gateway; gives its URL, and stops it in good order."""
    command = [sys.executable, "-m", "p2p_modelex", *map(str, arguments)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            for line in process.stdout:
                if line.startswith("serving "):
                    yield line.removeprefix("serving ").strip()
                    break
            else:
                pytest.fail(process.stderr.read())
            process.send_signal(signal.SIGTERM)
            _, complaints = process.communicate(timeout=60)
            assert process.returncode == 0, complaints
        finally:
            process.kill()


def ask(url: str, key: str | None = None) -> httpx.Response:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    return httpx.post(f"{url}/completions", json=SCORE, headers=headers, timeout=60)


@pytest.mark.slow
def test_the_gateway_sells_the_mesh_to_those_with_a_key(modelex: Modelex, mesh: Mesh) -> None:
    home = mesh.homes["client"]
    at = ("--home", home.path)
    secret = modelex("keys", "add", "ada", "--budget", "0.001", *at).out.strip()
    try:
        with running("gateway", *at, "--port", 0) as url:
            assert ask(url).status_code == 401
            answer = ask(url, secret)
            assert answer.status_code == 200, answer.text
            choice: dict[str, Any] = answer.json()["choices"][0]
            assert choice["text"].strip() in "123456789"
            sellers = {format_peer_id(mesh.keys[name].peer.peer) for name in ("ada", "bert")}
            assert choice["modelex"]["provider"] in sellers
        [key] = json.loads(modelex("keys", "list", *at, "--json").out)
        assert key["spent_wei"] == choice["modelex"]["paid_wei"] != "0"
        receipt = home.receipts / f"{choice['modelex']['receipt']}.json"
        assert modelex("verify", receipt, *at).code == 0
    finally:
        modelex("keys", "remove", "ada", *at)


def own_seller(mesh: Mesh, folder: Path, charges: X402Settings | None = None) -> Home:
    """A provider of the mesh's model that serves a gateway, and has neither $AI nor gas."""
    configuration = replace(
        read_configuration(mesh.homes["client"].configuration),
        role="provider",
        models=(ModelSettings(model=SENTIMENT, threads=1),),
        gateway=GatewaySettings(serve=True, port=0),
        x402=charges or X402Settings(),
    )
    home = new_home(folder / "own", mesh.folder / "network.toml", configuration)
    home.models.rmdir()
    home.models.symlink_to(mesh.models)
    return home


@pytest.mark.slow
def test_a_provider_serves_its_own_model_to_this_machine(
    modelex: Modelex, mesh: Mesh, tmp_path: Path
) -> None:
    home = own_seller(mesh, tmp_path)
    with running("up", "--home", home.path) as url:
        answer = ask(url)
        assert answer.status_code == 200, answer.text
        assert answer.json()["choices"][0]["modelex"]["receipt"] is None
        assert answer.json()["usage"]["cost"] == "0"


@pytest.mark.slow
def test_a_provider_sells_its_own_model_by_x402(
    modelex: Modelex, mesh: Mesh, tmp_path: Path
) -> None:
    price = Wei(AI // 1000)
    charges = X402Settings(charge=True, prices=((SENTIMENT, price),))
    home = own_seller(mesh, tmp_path, charges)
    account = unlock_keystore(home.keys, PASSPHRASE).account.address
    trio.run(fund, mesh.net.url, account, GAS_MONEY)
    trio.run(grant, mesh.net.url, mesh.deployment, {PAYER: AI})
    with running("up", "--home", home.path) as url:
        assert ask(url).status_code == 402
        with x402_requests(payer_of(mesh.deployment)) as session:
            answer = session.post(f"{url}/completions", json=SCORE, timeout=60)
        assert answer.status_code == 200, answer.text
        assert answer.json()["choices"][0]["text"].strip() in "123456789"
    said = modelex("balance", "--home", home.path, "--json")
    assert str(int(price)) in said.out
