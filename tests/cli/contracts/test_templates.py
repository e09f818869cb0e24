from pathlib import Path

import pytest

from p2p_modelex.units import AI
from tests.cli.contracts.conftest import Chain


def money(tenths: int) -> dict[str, object]:
    return {"wei": str(tenths * AI // 10), "epoch": 0}


@pytest.mark.slow
def test_a_template_from_its_file_to_its_fee(chain: Chain, tmp_path: Path) -> None:
    (creator, account), (user, _) = chain.newcomer(), chain.newcomer()
    file, schema = tmp_path / "rate.txt", tmp_path / "rate.json"
    file.write_text("Rate this headline from -1 to 1: {headline}\n")
    schema.write_text('{"headline": "string"}\n')
    made = chain.json(
        *("templates", "publish", file, "--fee", "0.5", "--max-completion-tokens", 8),
        *("--schema", schema, "--uri", "ipfs://rate"),
        by=creator,
    )
    template = made["template"]
    shown = chain.json("templates", "show", template)
    assert (shown["creator"], shown["version"], shown["fee"]) == (account, 1, money(5))
    assert (shown["uri"], shown["supersedes"], shown["deprecated"]) == ("ipfs://rate", None, False)
    assert shown["schema"] is not None

    assert chain.json("templates", "verify", file, template)["verified"] is True
    chain.run("templates", "verify", schema, template).check_error(14, "the chain has 0x")

    chain.json("templates", "set-fee", template, "0.7", by=creator)
    said = chain.run("templates", "use", template, "--ceiling", "0.5", by=user)
    said.check_error(11, "it costs 0.7 AI, more than the ceiling")
    used = chain.json("templates", "use", template, "--ceiling", "0.7", by=user)
    assert used["fee"] == money(7)
    assert chain.json("templates", "earned", account)["earned"] == money(7)
    assert chain.json("templates", "withdraw", by=creator)["withdrawn"] == money(7)
    assert chain.json("token", "balance", account)["balance"] == money(1007)
    again = chain.json("templates", "withdraw", by=creator)
    assert again == {"account": account, "withdrawn": money(0)}

    file.write_text("Rate it: {headline}\n")
    newer = chain.json(
        *("templates", "publish", file, "--max-completion-tokens", 8, "--supersedes", template),
        by=creator,
    )["template"]
    chain.json("templates", "deprecate", template, by=creator)
    listed = chain.json("templates", "list")
    last = {row["template"]: row for row in listed["rows"]}
    assert (last[template]["deprecated"], last[template]["uses"]) == (True, 1)
    assert last[newer]["version"] == 2
    assert newer in chain.run("templates", "list").out


def test_bad_input_is_named(chain: Chain, tmp_path: Path) -> None:
    key, _ = chain.newcomer()
    nothing = "0x" + "07" * 32
    chain.run("templates", "show", nothing).check_error(12, "NoSuchTemplate", "modelex templates")
    chain.run("templates", "deprecate", nothing, by=key).check_error(12, "NoSuchTemplate")
    chain.run("templates", "show", "0x07").check_error(2, "not a digest")
    file = tmp_path / "t"
    file.write_text("x")
    publish = ("templates", "publish", file, "--max-completion-tokens")
    assert "0 is not in the range" in chain.run(*publish, "0", by=key).err
    said = chain.run(*publish, "8", "--uri", "x" * 257, by=key)
    said.check_error(12, "UriTooLong", "at most 256 bytes")
    chain.json(*publish, "8", by=key)
    chain.run(*publish, "8", by=key).check_error(12, "TemplateExists", "--supersedes")
