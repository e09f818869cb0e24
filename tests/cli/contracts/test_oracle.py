import json
from pathlib import Path
from typing import Any

import pytest
import trio

from p2p_modelex.chain.devnet import advance_time
from p2p_modelex.demo.mesh import SENTIMENT
from p2p_modelex.units import AI
from tests.chain.worlds import new_private_key
from tests.cli.conftest import Modelex, new_home, nowhere
from tests.cli.contracts.conftest import Chain


def wei(amount: int) -> dict[str, object]:
    return {"wei": str(amount), "epoch": 0}


def ask(chain: Chain, key: bytes, *words: object) -> Any:
    return chain.json("oracle", "ask", *words, "--ceiling", "3", "--within", "1h", by=key)


def test_three_are_asked_two_agree_and_the_third_is_not_paid(chain: Chain, tmp_path: Path) -> None:
    asker, _ = chain.newcomer()
    providers = [chain.newcomer() for _ in range(3)]
    named = [word for _, signer in providers for word in ("--provider", signer)]
    asked = ask(chain, asker, "Headline: it rose.", *named, "--band", 5)
    request = asked["request"]
    shown = chain.json("oracle", "show", request)
    assert (shown["status"], shown["prompt"], shown["quorum"]) == ("open", "Headline: it rose.", 3)
    assert (shown["kind"], shown["ceiling"], shown["score"]) == ("score", wei(3 * AI), None)
    assert shown["block"] == asked["block"]

    first, second, third = providers
    said = chain.json("oracle", "answer", request, "--score", "-40", by=first[0])
    assert (said["status"], said["paid"]) == ("open", None)
    reports = [tmp_path / "2.json", tmp_path / "3.json"]
    signing = ("oracle", "sign", request, "--score")
    chain.json(*signing, "-42", "--price", "0.25", "--out", reports[0], by=second[0])
    chain.json(*signing, "900", "--block", asked["block"], "--out", reports[1], by=third[0])
    brought = [word for report in reports for word in ("--report", report)]
    said = chain.json("oracle", "answer", request, *brought, "--block", asked["block"], by=asker)
    assert (said["status"], said["score"], said["outliers"]) == ("answered", "-40", 1)
    assert (said["paid"], said["callback_failed"]) == (wei(AI + AI // 4), False)

    shown = chain.json("oracle", "show", request)
    assert (shown["status"], shown["score"]) == ("answered", "-40")
    assert sorted(shown["answered_by"]) == sorted(signer for _, signer in providers)
    earned = [chain.json("oracle", "earned", signer)["earned"] for _, signer in providers]
    assert earned == [wei(AI), wei(AI // 4), wei(0)]
    assert chain.json("oracle", "withdraw", by=asker)["withdrawn"] == wei(3 * AI - AI * 5 // 4)
    said = chain.run("oracle", "answer", request, "--score", "1", by=first[0])
    said.check_error(12, "NotOpen", "is final")
    said = chain.run("oracle", "show", request)
    assert "\nscore        -40\n" in said.out, said


def test_nobody_answers_and_the_money_comes_back(chain: Chain) -> None:
    (asker, account), (provider, signer) = chain.newcomer(), chain.newcomer()
    request = ask(chain, asker, "Is it?", "--provider", signer)["request"]
    ask(chain, asker, "Is it?", "--provider", account)
    [row] = chain.json("oracle", "list", "--provider", signer, "--limit", 1)
    assert (row["request"], row["status"]) == (request, "open")
    said = chain.run("oracle", "refund", request, by=asker)
    said.check_error(12, "TooEarly(", "it may be answered until ")
    trio.run(advance_time, chain.url, 3601)
    said = chain.run("oracle", "answer", request, "--score", "1", by=provider)
    said.check_error(12, "TooLate", "modelex oracle refund")
    assert chain.json("oracle", "refund", request, by=provider)["refunded"] == wei(3 * AI)
    assert chain.json("oracle", "earned", account)["earned"] == wei(3 * AI)
    assert chain.json("oracle", "show", request)["status"] == "refunded"


def test_a_template_is_asked_and_a_text_answers(chain: Chain, tmp_path: Path) -> None:
    (asker, _), (provider, signer), (_, payee) = (chain.newcomer() for _ in range(3))
    file, text = tmp_path / f"{new_private_key().hex()}.txt", tmp_path / "text"
    file.write_text("Say hello to {name}.")
    text.write_text("Hello, Ada.\x1b[31m\n")
    publish = ("templates", "publish", file, "--fee", "0.5", "--max-completion-tokens", 8)
    template = chain.json(*publish, by=provider)["template"]
    words = ("--template", template, "--parameter", "name=Ada", "--parameter", "b=1=2")
    asked = ask(chain, asker, *words, "--provider", f"{signer}:{payee}", "--text")
    assert (asked["paid"], asked["for_providers"]) == (wei(3 * AI), wei(3 * AI - AI // 2))
    shown = chain.json("oracle", "show", asked["request"])
    assert (shown["prompt"], shown["template"]) == ('{"b":"1=2","name":"Ada"}', template)
    said = chain.run("oracle", "answer", asked["request"], "--score", "1", by=provider)
    said.check_error(12, "NoAgreement", "--text-file")
    answer = ("oracle", "answer", asked["request"], "--text-file", text)
    assert chain.json(*answer, by=provider)["status"] == "answered"
    assert chain.json("oracle", "earned", payee)["earned"] == wei(3 * AI - AI // 2)
    shown = chain.json("oracle", "show", asked["request"])
    assert (shown["text"], shown["score"]) == ("Hello, Ada.\x1b[31m\n", None)
    assert "\x1b" not in chain.run("oracle", "show", asked["request"]).out


def test_a_report_that_nobody_asked_for_is_verified(chain: Chain, tmp_path: Path) -> None:
    provider, signer = chain.newcomer()
    subject = chain.json("oracle", "subject", "Is it so?")["subject"]
    path = tmp_path / "report.json"
    said = chain.json("oracle", "sign", subject, "--score", "7", "--out", path, by=provider)
    assert (said["signer"], said["price"]) == (signer, wei(0))
    verify = ("oracle", "verify", path, "--signer", signer, "--subject")
    good = chain.json(*verify, subject)
    assert (good["verified"], good["score"], good["completion"]) == (True, "7", None)
    chain.run(*verify, "0x" + "07" * 32).check_error(14, f"is about {subject}", "sign another")
    content = json.loads(path.read_text())
    content["report"]["score"] = "8"
    path.write_text(json.dumps(content))
    chain.run(*verify, subject).check_error(14, f"is not signed by {signer}")
    content["chain_id"] = "1"
    path.write_text(json.dumps(content))
    chain.run(*verify, subject).check_error(14, "another network's oracle")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("ask",), ("a question is a PROMPT, or a --template", "try: give one")),
        (
            ("ask", "x", "--template", "0x" + "01" * 32),
            ("a question is a PROMPT, or a --template", "try: give one"),
        ),
        (
            ("ask", "x", "--parameter", "a=1"),
            ("a question is a PROMPT, or a --template", "try: give one"),
        ),
        (("ask", "x", "--parameter", "a"), ("not a parameter: 'a'", "name=value")),
        (("ask", "x", "--provider", "0x1"), ("not an EVM address",)),
        (("ask", "\udcff"), ("the prompt is not Unicode",)),
        (("ask", "x" * 200_000), ("a prompt has at most",)),
        (("ask", "x", "--band", str(2**128)), ("is not in the range",)),
    ],
    ids=range(8),
)
def test_a_question_without_sense_is_refused(
    chain: Chain, words: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    key = new_private_key()
    rest = ("--provider", "0x" + "11" * 20, "--ceiling", "1", "--within", "1h")
    said = chain.run("oracle", *words, *rest, by=key)
    assert said.code == 2, said
    assert all(part in said.err for part in parts), said


def test_an_answer_without_sense_is_refused(chain: Chain, tmp_path: Path) -> None:
    (asker, _), (_, signer) = chain.newcomer(), chain.newcomer()
    request = ask(chain, asker, "x", "--provider", signer)["request"]
    answer = ("oracle", "answer", request)
    chain.run(*answer, by=asker).check_error(2, "an answer is a --score or a --text-file")
    said = chain.run(*answer, "--score", "1", by=asker)
    said.check_error(2, "is none of the request's providers", "modelex oracle show")
    path = tmp_path / "r.json"
    path.write_text("{}")
    said = chain.run(*answer, "--report", path, "--score", "1", by=asker)
    said.check_error(2, "reports have their score")
    said = chain.run(*answer, "--report", path, by=asker)
    said.check_error(2, f"{path}: file: not a Modelex report", "`sign` wrote")
    said = chain.run("oracle", "show", "0x" + "07" * 32)
    said.check_error(2, "nobody asked 0x0707", "--block")


def test_a_fee_over_the_ceiling_is_named(chain: Chain, tmp_path: Path) -> None:
    (asker, _), (creator, signer) = chain.newcomer(), chain.newcomer()
    file = tmp_path / "template"
    file.write_text(new_private_key().hex())
    publish = ("templates", "publish", file, "--fee", 8, "--max-completion-tokens", 8)
    template = chain.json(*publish, by=creator)["template"]
    words = ("oracle", "ask", "--template", template, "--provider", signer, "--within", "1h")
    for ceiling in (3, 8):
        said = chain.run(*words, "--ceiling", ceiling, by=asker)
        said.check_error(11, "the fee is 8 AI", "raise --ceiling")


def test_providers_are_named_once_and_enough_for_the_quorum(chain: Chain) -> None:
    key, signer = chain.newcomer()
    words = ("oracle", "ask", "x", "--ceiling", 1, "--within", "1h", "--provider", signer)
    said = chain.run(*words, "--provider", f"{signer}:0x{'11' * 20}", by=key)
    said.check_error(2, f"{signer} is named twice", "name each provider once")
    said = chain.run(*words, "--quorum", 2, by=key)
    said.check_error(2, "a quorum of 2 takes as many providers, not 1", "lower --quorum")


def test_a_report_that_would_bring_nothing_is_not_signed(chain: Chain, tmp_path: Path) -> None:
    (asker, _), (provider, signer) = chain.newcomer(), chain.newcomer()
    request = ask(chain, asker, "x", "--provider", signer)["request"]
    path = tmp_path / "r.json"
    words = ("oracle", "sign", request, "--score", "1", "--out", path, "--price")
    said = chain.run(*words, "1", by=asker)
    said.check_error(2, "is none of the request's providers", "modelex oracle show")
    assert not path.exists()
    assert chain.run(*words, "3", by=provider).err == ""
    said = chain.run(*words, "5", by=provider)
    assert said.err == "3 AI will be paid, an equal share, not 5 AI\n"
    said = chain.run("oracle", "answer", request, "--score", "1", "--price", "5", by=provider)
    assert (said.code, said.err) == (0, "3 AI will be paid, an equal share, not 5 AI\n")
    assert chain.json("oracle", "earned", signer)["earned"] == wei(3 * AI)


def test_nothing_is_asked_of_an_endpoint_for_what_can_be_seen_here(modelex: Modelex) -> None:
    modelex("oracle", "show", "0x07").check_error(2, "not a digest")


@pytest.mark.slow
def test_a_model_answers_what_its_account_is_asked(
    chain: Chain, modelex: Modelex, tmp_path: Path
) -> None:
    (asker, _), (provider, signer) = chain.newcomer(), chain.newcomer()
    home = new_home(tmp_path / "home", chain.network_file, nowhere())
    assert modelex("models", "add", SENTIMENT, "--home", home.path).code == 0
    prompt = "Headline: Apple shares surge on record profit\nSentiment:"
    request = ask(chain, asker, prompt, "--provider", signer)["request"]
    poor = ask(chain, asker, prompt, "--provider", signer, "--text")["request"]
    serve = ("oracle", "serve", "--once", "--least", "0", "--home", home.path, "--model", SENTIMENT)
    said = chain.run(*serve, "--json", by=provider)
    assert said.code == 0, said
    good, bad = (json.loads(text) for text in said.out.replace("}\n{", "}\0{").split("\0"))
    assert (good["request"], good["output"], good["final"]) == (request, "9", True)
    assert (bad["request"], bad["answered"]) == (poor, False)
    assert "this model serves" in bad["reason"]
    assert chain.json("oracle", "show", request)["score"] == "9"
    said = chain.run(*serve[:-1], "nothing", by=provider)
    said.check_error(3, "there is no model 'nothing' here", "modelex models add nothing")
