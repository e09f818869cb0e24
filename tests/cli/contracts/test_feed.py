from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from p2p_modelex.chain.devnet import advance_time
from p2p_modelex.cli.feed import format_score, parse_score
from p2p_modelex.errors import BadInput
from tests.cli.contracts.conftest import Chain

Accounts = Sequence[tuple[bytes, str]]


def deploy(chain: Chain, owner: bytes, signers: Accounts, quorum: int) -> Any:
    subject = chain.json("oracle", "subject", "Is it so?")["subject"]
    named = [word for _, signer in signers for word in ("--signer", signer)]
    words = ("feed", "deploy", "--subject", subject, "--description", "sentiment")
    timing = ("--heartbeat", "10m", "--deviation", "0.05", "--quorum", quorum)
    return chain.json(*words, *timing, *named, by=owner)["feed"]


def sign(chain: Chain, feed: str, folder: Path, signers: Accounts, scores: list[str]) -> list[Path]:
    reports = [folder / f"{account}.json" for _, account in signers]
    for (key, _), score, report in zip(signers, scores, reports, strict=True):
        chain.json("feed", "sign", feed, "--score", score, "--out", report, by=key)
    return reports


@pytest.mark.slow
def test_a_feed_from_its_first_round_to_a_stale_one(chain: Chain, tmp_path: Path) -> None:
    owner, account = chain.newcomer()
    signers = [chain.newcomer() for _ in range(3)]
    feed = deploy(chain, owner, signers, 2)
    shown = chain.json("feed", "show", feed)
    assert (shown["state"], shown["answer"], shown["owner"]) == ("empty", None, account)
    assert (shown["heartbeat_s"], shown["deviation"], shown["quorum"]) == (600, "0.05", 2)
    assert chain.run("feed", "rounds", feed).err == "there are none\n"

    reports = sign(chain, feed, tmp_path, signers, ["-0.42", "-0.4", "1"])
    chain.run("feed", "submit", feed, reports[0], by=owner).check_error(12, "NoQuorum", "2 signers")
    made = chain.json("feed", "submit", feed, *reports, by=owner)
    assert (made["round"], made["answer"], made["reports"]) == (1, "-0.40", 3)
    shown = chain.json("feed", "show", feed)
    assert (shown["state"], shown["answer"], shown["round"]) == ("fresh", "-0.40", 1)

    trio.run(advance_time, chain.url, 1)
    reports = sign(chain, feed, tmp_path, signers, ["-0.42", "-0.42", "-0.42"])
    said = chain.run("feed", "submit", feed, *reports, by=owner)
    said.check_error(12, "NotDue", "a round is due at 2")
    reports = sign(chain, feed, tmp_path, signers[:2], ["0.1", "0.3"])
    chain.json("feed", "submit", feed, *reports, by=owner)
    assert [row["answer"] for row in chain.json("feed", "rounds", feed)] == ["0.20", "-0.40"]

    trio.run(advance_time, chain.url, 1201)
    shown = chain.json("feed", "show", feed)
    assert (shown["state"], shown["age_s"] > 1200) == ("stale", True)
    said = chain.run("feed", "submit", feed, *reports, by=owner)
    said.check_error(12, "NotFresh", "sign again")


def test_signers_and_owner_change(chain: Chain, tmp_path: Path) -> None:
    (owner, _), (heir, other), old, new = (chain.newcomer() for _ in range(4))
    feed = deploy(chain, owner, [old], 1)
    words = ("feed", "set-signers", feed, "--signer", new[1], "--quorum", 1)
    reports = sign(chain, feed, tmp_path, [old], ["1"])
    said = chain.run(*words, by=heir)
    said.check_error(12, "OwnableUnauthorizedAccount", "only its owner may")
    said = chain.run("feed", "own", "accept", feed, by=heir)
    said.check_error(12, "OwnableUnauthorizedAccount", f"it was not offered to {other}")
    chain.json("feed", "own", "offer", feed, other, by=owner)
    assert chain.json("feed", "show", feed)["offered_to"] == other
    chain.json("feed", "own", "accept", feed, by=heir)
    chain.json(*words, by=heir)
    assert chain.json("feed", "show", feed)["signers"] == [new[1]]
    said = chain.run("feed", "submit", feed, reports[0], by=heir)
    said.check_error(12, "NotASigner", "modelex feed show")
    report = tmp_path / "late.json"
    said = chain.run("feed", "sign", feed, "--score", "1", "--out", report, by=old[0])
    said.check_error(2, "is none of the feed's signers", "modelex feed show")
    assert not report.exists()
    said = chain.run(*words, "--signer", new[1], by=heir)
    said.check_error(2, "is named twice", "name each signer once")
    said = chain.run("feed", "sign", feed, "--score", "0.001", "--out", report, by=new[0])
    said.check_error(2, "not a score of 2 decimals: '0.001'")


def test_what_is_no_feed_is_named(chain: Chain) -> None:
    said = chain.run("feed", "show", "0x" + "07" * 20)
    said.check_error(12, "there is no ScoreFeed at", "check the address")
    said = chain.run("feed", "show", "0x" + chain.deployment.token.hex())
    said.check_error(12, "is not this version's ScoreFeed")


@pytest.mark.parametrize(
    ("text", "decimals", "units"),
    [("0.42", 2, 42), ("-0.4", 2, -40), ("7", 0, 7), ("-0", 3, 0), ("0", 18, 0), ("12.5", 1, 125)],
)
def test_scores_are_exact(text: str, decimals: int, units: int) -> None:
    assert parse_score(text, decimals) == units
    assert parse_score(format_score(units, decimals), decimals) == units


@pytest.mark.parametrize("text", ["", "1e3", "0.001", ".5", "+1", "1.", "--1", "½", "9" * 40])
def test_what_is_no_score_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="not a score of 2 decimals"):
        parse_score(text, 2)
