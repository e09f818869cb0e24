"""`modelex token vesting|wrap|unwrap`, what is signed and brought by another, `modelex farm`."""

import json
from pathlib import Path

import pytest

from p2p_modelex.ids import format_address
from p2p_modelex.records.signers import EvmSigner
from p2p_modelex.units import AI
from tests.chain.contracts.conftest import NOTICE_BLOCKS, PAUSE_BLOCKS
from tests.chain.worlds import new_key
from tests.cli.contracts.conftest import OWNER, Chain

YEAR_S = 365 * 24 * 3600
FOUNDER = format_address(EvmSigner(OWNER).address)


def ai(number: int, epoch: int = 0) -> dict[str, object]:
    return {"wei": str(number * AI), "epoch": epoch}


def test_vesting(splitting: Chain) -> None:
    chain = splitting
    [grant] = chain.json("token", "vesting", "grants")
    assert (grant["beneficiary"], grant["share_ppm"]) == (FOUNDER, 1_000_000)
    assert grant["end"] - grant["cliff"] == 3 * YEAR_S
    assert "100%" in chain.run("token", "vesting", "grants").out
    assert chain.json("token", "vesting", "release", by=OWNER)["released"] is None
    chain.pass_time(5 * YEAR_S)
    sent = chain.json("token", "vesting", "release", FOUNDER, by=OWNER)
    assert sent["released"] == ai(150_000_000)
    said = chain.json("token", "vesting", "releasable", FOUNDER)
    assert (said["released"], said["releasable"]) == (ai(150_000_000), ai(0))
    stranger = format_address(new_key().address)
    said = chain.run("token", "vesting", "releasable", stranger)
    said.check_error(12, "a read was refused: NoGrant", "modelex token vesting grants")


def test_wrapping(splitting: Chain) -> None:
    chain = splitting
    key, account = chain.newcomer()
    sent = chain.json("token", "wrap", "3", by=key)
    assert (sent["paid"], sent["wrapped"]) == (ai(3), str(3 * AI))
    assert chain.run("token", "balance", account).out.endswith("balance  97 AI\nwrapped  3\n")
    chain.json("token", "split", "announce", by=OWNER)
    chain.mine(NOTICE_BLOCKS + PAUSE_BLOCKS)
    sent = chain.json("token", "unwrap", "2", by=key)
    assert (sent["paid"], sent["wrapped"]) == (ai(4, 1), str(2 * AI))
    said = chain.json("token", "balance", account)
    assert (said["balance"], said["wrapped"]) == (ai(2 * 97 + 4, 1), str(AI))


def test_a_permit_by_file(chain: Chain, tmp_path: Path) -> None:
    holder, account = chain.newcomer()
    relayer, _ = chain.newcomer()
    spender = format_address(new_key().address)
    said = chain.run("token", "permit", spender, "2.5", "--json", by=holder)
    file = tmp_path / "permit.json"
    file.write_text(said.out)
    sent = chain.json("token", "use-permit", file, by=relayer)
    assert (sent["holder"], sent["spender"]) == (account, spender)
    allowed = chain.json("token", "allowance", spender, account)["allowance"]
    assert allowed == {"wei": str(5 * AI // 2), "epoch": 0}
    said = chain.run("token", "use-permit", file, by=relayer)
    said.check_error(12, "NotSignedBy", f"have {account} sign it")


def test_a_deposit_by_file_opens_a_channel(chain: Chain, tmp_path: Path) -> None:
    payer, account = chain.newcomer()
    relayer, _ = chain.newcomer()
    payee = format_address(new_key().address)
    said = chain.run("token", "sign-deposit", payee, "2.5", "--json", by=payer)
    signed = json.loads(said.out)
    file = tmp_path / "deposit.json"
    file.write_text(said.out)
    sent = chain.json("token", "bring-deposit", file, by=relayer)
    assert (sent["channel"], sent["payer"]) == (signed["channel"], account)
    assert sent["deposit"] == {"wei": str(5 * AI // 2), "epoch": 0}
    assert chain.json("token", "balance", account)["balance"]["wei"] == str(195 * AI // 2)
    said = chain.run("token", "bring-deposit", file, by=relayer)
    said.check_error(12, "AuthorizationUsedAlready", f"have {account} sign another")
    file.write_text(json.dumps(signed | {"payee": account}))
    chain.run("token", "bring-deposit", file, by=relayer).check_error(12, "NotSignedBy")
    file.write_text(json.dumps(signed | {"salt": "0x00"}))
    said = chain.run("token", "bring-deposit", file, by=relayer)
    said.check_error(2, "is not a deposit", "`modelex token sign-deposit --json` makes one")


@pytest.mark.parametrize(
    "change",
    [
        {"signature": "0x00"},
        {"holder": 7},
        {"holder": "0x12"},
        {"allowance": {"wei": "9" * 39, "epoch": 0}},
        {"allowance": {"wei": "1.5", "epoch": 0}},
        {"deadline": -1},
        {"more": 1},
    ],
)
def test_a_file_that_is_no_permit(chain: Chain, tmp_path: Path, change: dict[str, object]) -> None:
    account = format_address(new_key().address)
    good = {
        "holder": account,
        "spender": account,
        "allowance": ai(1),
        "nonce": 0,
        "deadline": 2**40,
        "signature": "0x" + "11" * 65,
    }
    file = tmp_path / "permit.json"
    file.write_text(json.dumps(good | change))
    chain.run("token", "use-permit", file, by=OWNER).check_error(
        2, f"{file} is not a permit", "permit --json"
    )
    file.write_text("[" * 5000)
    chain.run("token", "use-permit", file, by=OWNER).check_error(2, "is larger than 4096 bytes")


def test_a_farm_from_its_founding_to_other_members(chain: Chain) -> None:
    owner, founder = chain.newcomer()
    one, two = (format_address(new_key().address) for _ in range(2))
    members = ("--member", f"{one}:3", "--member", f"{two}:1")
    made = chain.json("farm", "deploy", *members, "--notice", 1000, by=owner)
    farm = made["farm"]
    assert made["owner"] == founder
    chain.json("token", "transfer", farm, "8", by=owner)
    said = chain.json("farm", "show", farm)
    assert (said["owner"], said["terms"], said["income"]) == (founder, 1, ai(8))
    assert (said["announced_terms"], said["closed"]) == (None, False)
    assert chain.json("farm", "members", farm) == [
        {"member": one, "weight": 3, "due": ai(6)},
        {"member": two, "weight": 1, "due": ai(2)},
    ]
    assert chain.json("farm", "release", farm, one, by=OWNER)["released"] == ai(6)
    said = chain.run("farm", "release", farm, by=OWNER)
    said.check_error(2, "is no member by the farm's terms 1", "modelex farm members")
    again = ("farm", "release", farm, one, "--first", 1, "--last", 1)
    assert chain.json(*again, by=OWNER)["released"] is None

    announced = chain.json("farm", "announce", farm, "--member", f"{two}:1", by=owner)
    assert announced["terms"] == 2
    chain.run("farm", "begin", farm, by=OWNER).check_error(12, "TooEarly", "may begin at 20")
    chain.pass_time(1000)
    assert chain.json("farm", "begin", farm, by=OWNER)["terms"] == 2
    assert chain.json("farm", "show", farm, "--terms", 1)["closed"]
    chain.json("farm", "announce", farm, *members, by=owner)
    assert chain.json("farm", "cancel", farm, by=owner)["cancelled"] == 3
    chain.run("farm", "show", farm, "--terms", 9).check_error(12, "NoSuchTerms")
    said = chain.run("farm", "show", one)
    said.check_error(12, "there is no Farm", "check the address")
    assert "devnet" not in said.err
    twice = ("--member", f"{one}:3", "--member", f"{one}:1")
    said = chain.run("farm", "deploy", *twice, by=owner)
    said.check_error(2, f"{one} is named twice", "name each member once")


@pytest.mark.parametrize("member", ["0x11", "0x" + "11" * 20, "0x" + "11" * 20 + ":0", ":1"])
def test_members_are_accounts_with_weights(chain: Chain, member: str) -> None:
    chain.run("farm", "deploy", "--member", member, by=OWNER).check_error(2, "not a")
