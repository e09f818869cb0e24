import json
from pathlib import Path

import pytest

from p2p_modelex.ids import format_address
from p2p_modelex.units import AI
from tests.chain.contracts.conftest import NOTICE_BLOCKS, PAUSE_BLOCKS
from tests.chain.worlds import new_key
from tests.cli.conftest import Modelex, new_home, nowhere
from tests.cli.contracts.conftest import OWNER, Chain


def test_balances_and_transfers(chain: Chain) -> None:
    key, account = chain.newcomer()
    to = format_address(new_key().address)
    sent = chain.json("token", "transfer", to, "1.5", by=key)
    amount = {"wei": str(3 * AI // 2), "epoch": 0}
    assert (sent["to"], sent["amount"], len(sent["transaction"])) == (to, amount, 66)
    assert chain.json("token", "balance", to) == {
        "account": to,
        "balance": amount,
        "wrapped": "0",
    }
    assert chain.run("token", "balance", to).out == f"account  {to}\nbalance  1.5 AI\nwrapped  0\n"
    said = chain.run("token", "transfer", to, "1.50", by=key)
    assert said.out.startswith(f"to           {to}\namount       1.5 AI\ntransaction  0x"), said

    said = chain.run("token", "transfer", to, "98", by=key)
    said.check_error(
        12, f"it would revert: ERC20InsufficientBalance(sender={account}", "holds 97, it takes 98"
    )


def test_allowances(chain: Chain) -> None:
    key, holder = chain.newcomer()
    spender = format_address(new_key().address)
    asked = ("token", "allowance", spender, holder)
    chain.json("token", "approve", spender, "0.25", by=key)
    assert chain.json(*asked)["allowance"] == {"wei": str(AI // 4), "epoch": 0}
    chain.json("token", "approve", spender, "unlimited", by=key)
    assert chain.run(*asked).out.endswith("allowance  unlimited\n")
    assert chain.json("token", "approve", spender, "0", by=key)["allowance"]["wei"] == "0"


def test_the_token_tells_of_itself(chain: Chain) -> None:
    said = chain.json("token", "info")
    assert said["supply"] == {"wei": str(10**9 * AI), "epoch": 0}
    assert (said["split"], said["splits_at"], said["offered_to"]) == ("none", None, None)
    assert chain.deployment.vesting is not None
    assert said["vesting"] == format_address(chain.deployment.vesting)


def test_a_split_from_its_announcement_to_its_end(splitting: Chain) -> None:
    chain = splitting
    holder = format_address(new_key().address)
    chain.json("token", "transfer", holder, "5", by=OWNER)
    announced = chain.json("token", "split", "announce", by=OWNER)
    assert announced["pauses_at"] == announced["block"] + NOTICE_BLOCKS
    said = chain.run("token", "split", "announce", by=OWNER)
    said.check_error(12, "SplitPending", f"block {announced['splits_at']}")

    chain.mine(NOTICE_BLOCKS)
    assert "split      paused\n" in chain.run("token", "split", "status").out
    said = chain.run("token", "transfer", holder, "1", by=OWNER)
    said.check_error(12, "TransfersPaused", f"from block {announced['splits_at']} (about 2")
    said = chain.run("token", "split", "cancel", by=OWNER)
    said.check_error(12, "NoSplitToCancel")

    chain.mine(PAUSE_BLOCKS)
    assert chain.run("token", "balance", holder).out.endswith(
        "balance  10 AI of epoch 1\nwrapped  0\n"
    )
    sent = chain.json("token", "transfer", holder, "1", by=OWNER)
    assert sent["amount"] == {"wei": str(AI), "epoch": 1}


def test_who_can_take_none_is_told_apart(chain: Chain) -> None:
    said = chain.run("token", "transfer", "0x" + "00" * 20, "1", by=OWNER)
    said.check_error(12, "ERC20InvalidReceiver", "check the account to pay")
    typo = "0x70997970C51812dc3A010C7d01b50e0d17dc79c8"
    said = chain.run("token", "transfer", typo, "1", by=OWNER)
    said.check_error(2, f"{typo} is mistyped", "copy the address again")


def test_a_split_is_cancelled(splitting: Chain) -> None:
    splitting.json("token", "split", "announce", by=OWNER)
    assert splitting.json("token", "split", "cancel", by=OWNER)["cancelled"] == 1


def test_the_owner_hands_the_token_over(splitting: Chain) -> None:
    key, heir = splitting.newcomer()
    said = splitting.run("token", "own", "accept", by=key)
    said.check_error(12, "OwnableUnauthorizedAccount", f"it was not offered to {heir}")
    splitting.json("token", "own", "offer", heir, by=OWNER)
    assert splitting.json("token", "info")["offered_to"] == heir
    assert splitting.json("token", "own", "accept", by=key)["owner"] == heir


def test_a_home_gives_network_account_and_key(
    chain: Chain, modelex: Modelex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = new_home(tmp_path / "home", chain.network_file, nowhere())
    monkeypatch.setenv("MODELEX_RPC_URL", chain.url)
    said = modelex("token", "balance", "--home", home.path, "--json")
    assert said.code == 0, said
    account = json.loads(said.out)["account"]
    chain.json("token", "transfer", account, "2", by=OWNER)
    said = modelex("token", "balance", "--home", home.path)
    assert said.out == f"account  {account}\nbalance  2 AI\nwrapped  0\n"
    said = modelex("token", "approve", account, "1", "--home", home.path)
    said.check_error(12, f"{account} cannot pay for gas", f"coin to {account}")


@pytest.mark.parametrize(
    ("words", "code", "parts"),
    [
        (("balance", "0x11"), 2, ("not an EVM address",)),
        (("transfer", "0x" + "11" * 20, "1e3"), 2, ("not an amount of AI",)),
        (("transfer", "0x" + "11" * 20, "0.0000000000000000001"), 2, ("not an amount of AI",)),
        (("approve", "0x" + "11" * 20, "-1"), 2, ()),
    ],
)
def test_bad_input_is_refused_before_anything_is_asked(
    modelex: Modelex, words: tuple[str, ...], code: int, parts: tuple[str, ...]
) -> None:
    said = modelex("token", *words, "--rpc", "http://127.0.0.1:1")
    assert said.code == code
    assert all(part in said.err for part in parts), said


def test_what_is_missing_is_named(chain: Chain, modelex: Modelex, tmp_path: Path) -> None:
    nowhere_home = ("--home", tmp_path / "none")
    modelex("token", "info", *nowhere_home).check_error(3, "is not a home of Modelex")
    said = modelex(
        *("token", "balance", "--rpc", chain.url, "--network-file", chain.network_file),
        *nowhere_home,
    )
    said.check_error(3, "whose account?")
