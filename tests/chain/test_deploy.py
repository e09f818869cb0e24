"""A deployment creates each contract once, wherever it is interrupted."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from p2p_modelex.chain.deployment import read_deployment
from p2p_modelex.chain.devnet import TEST_KEYS
from p2p_modelex.chain.evm import deploy as module
from p2p_modelex.chain.evm.deploy import Deployed, deploy, estimate
from p2p_modelex.chain.evm.journal import Journal
from p2p_modelex.chain.evm.plan import Grant, Terms
from p2p_modelex.chain.evm.rpc import Rpc
from p2p_modelex.cli.chain import deploy as deploy_command
from p2p_modelex.errors import BadInput, ConfigurationError, WrongNetwork
from p2p_modelex.ids import Address, format_address
from p2p_modelex.records.signers import EvmSigner
from tests.chain.worlds import EvmWorld

BOOTSTRAP = Path(__file__).parents[2] / "bootstrap" / "devnet" / "network.toml"
KEY = TEST_KEYS[7]
TERMS = Terms(60, grants=(Grant(Address(b"\x0f" * 20), 1_000_000, 1_800_000_000),))


class Crash(Exception):
    """The process dies here."""


async def count_transactions(url: str) -> int:
    async with Rpc(url) as rpc:
        account = format_address(EvmSigner(KEY).address)
        return int(await rpc.call("eth_getTransactionCount", account, "latest"), 16)


@pytest.mark.slow
@pytest.mark.parametrize("evm", ["anvil"], indirect=True)
@pytest.mark.parametrize("place", ["planned", "sent", "noted"])
async def test_an_interrupted_deployment_goes_on(
    evm: EvmWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """It dies before the third transaction is sent, before it is noted, or right after."""
    journal = tmp_path / "journal.json"
    before = await count_transactions(evm.url)
    with monkeypatch.context() as patch:
        die_at(patch, place, "registry")
        with pytest.raises(Crash):
            await deploy(evm.url, KEY, name="again", terms=TERMS, journal=journal)
    lines: list[Deployed] = []
    deployment = await deploy(
        evm.url, KEY, name="again", terms=TERMS, journal=journal, on_step=lines.append
    )
    assert await count_transactions(evm.url) == before + len(lines) == before + 10
    assert [line.is_new for line in lines[:3]] == [False, False, place == "planned"]
    assert all(line.is_new for line in lines[3:])
    again: list[Deployed] = []
    same = await deploy(
        evm.url, KEY, name="again", terms=TERMS, journal=journal, on_step=again.append
    )
    assert same == deployment
    assert not any(line.is_new for line in again)
    assert await count_transactions(evm.url) == before + 10


def die_at(patch: pytest.MonkeyPatch, place: str, key: str) -> None:
    plan, note = Journal.plan, Journal.note

    def plan_and_die(self: Journal, step: str, address: str) -> None:
        plan(self, step, address)
        if step == key:
            raise Crash

    def note_or_die(self: Journal, step: str, created: Any) -> None:
        if step == key and place == "sent":
            raise Crash
        note(self, step, created)
        if step == key:
            raise Crash

    if place == "planned":
        patch.setattr(Journal, "plan", plan_and_die)
    else:
        patch.setattr(Journal, "note", note_or_die)


async def test_an_estimate_sends_nothing_and_names_the_addresses_to_be(evm: EvmWorld) -> None:
    before = await count_transactions(evm.url)
    lines = await estimate(evm.url, KEY, terms=TERMS)
    assert await count_transactions(evm.url) == before
    assert len({line.address for line in lines}) == len(lines) == 10
    assert all(line.gas > 500_000 for line in lines)


async def test_what_a_network_file_names_is_not_deployed_again(evm: EvmWorld) -> None:
    """Also without a journal: another operator's machine, or a devnet that deployed by itself."""
    before = await count_transactions(evm.url)
    lines: list[Deployed] = []
    same = await deploy(
        evm.url, KEY, name="devnet", terms=TERMS, known=evm.deployment, on_step=lines.append
    )
    assert same == evm.deployment
    assert [line.is_new for line in lines] == [False] * 10
    assert await count_transactions(evm.url) == before
    estimated = await estimate(evm.url, KEY, terms=TERMS, known=evm.deployment)
    assert estimated == tuple(lines)


async def test_a_network_of_another_chain_is_refused(evm: EvmWorld) -> None:
    known = replace(evm.deployment, chain_id=1)
    for attempt in (
        deploy(evm.url, KEY, name="devnet", terms=TERMS, known=known),
        estimate(evm.url, KEY, terms=TERMS, known=known),
    ):
        with pytest.raises(WrongNetwork, match="of chain 31337, the network devnet of 1"):
            await attempt


async def test_the_network_file_of_the_devnet_is_what_a_fresh_one_deploys(evm: EvmWorld) -> None:
    assert read_deployment(BOOTSTRAP) == evm.deployment


async def test_a_journal_of_another_account_or_that_is_damaged_is_refused(
    evm: EvmWorld, tmp_path: Path
) -> None:
    journal = tmp_path / "journal.json"
    kept = {"chain_id": 1, "deployer": "0x00", "created": {}, "planned": {}}
    for text, says in ((json.dumps(kept), "of a deployment to chain 1"), ("{", "cannot read")):
        journal.write_text(text)
        with pytest.raises(ConfigurationError, match=says):
            await deploy(evm.url, KEY, name="x", terms=TERMS, journal=journal)


async def test_terms_that_a_constructor_would_refuse_are_refused_first(evm: EvmWorld) -> None:
    half = (Grant(Address(b"\x0f" * 20), 500_000, 0),)
    with pytest.raises(BadInput, match="500000 parts per million"):
        await estimate(evm.url, KEY, terms=Terms(60, grants=half))


def test_a_challenge_period_that_no_payee_can_meet_is_refused() -> None:
    done = CliRunner().invoke(deploy_command, ["sepolia", "--challenge", "3599"])
    assert done.exit_code == 2
    assert "x>=3600" in done.output


def test_where_a_contract_will_be() -> None:
    """The first contract of anvil's first account, as everybody's devnet has it."""
    deployer = format_address(EvmSigner(TEST_KEYS[0]).address)
    assert module._predict(deployer, 0) == "0x5fbdb2315678afecb367f032d93f642f64180aa3"
