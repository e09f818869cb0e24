"""What was set before a split is shown as what it is now."""

import json
from pathlib import Path

from p2p_modelex.units import AI
from tests.chain.contracts.conftest import NOTICE_BLOCKS, PAUSE_BLOCKS
from tests.cli.conftest import Modelex, edit, new_home, nowhere
from tests.cli.contracts.conftest import OWNER, Chain

SPLITS = 4


def now(ai: int) -> dict[str, object]:
    return {"wei": str(ai * AI), "epoch": SPLITS}


def test_amounts_of_before_are_shown_as_they_are_now(splitting: Chain, tmp_path: Path) -> None:
    chain, file, report = splitting, tmp_path / "file", tmp_path / "report.json"
    file.write_text("Rate it.")
    priced = ("--fee", "0.5", "--max-completion-tokens", 8)
    template = chain.json("templates", "publish", file, *priced, by=OWNER)["template"]
    terms = ("--duration", "1h", "--use", "raw", "--terms", file)
    block = chain.json("blocks", "offer", file, "--price", "0.5", *terms, by=OWNER)["block_id"]
    key, signer = chain.newcomer()
    asking = ("--provider", signer, "--ceiling", "0.5", "--within", "7d")
    request = chain.json("oracle", "ask", "Is it?", *asking, by=OWNER)["request"]
    chain.json("oracle", "sign", request, "--score", "1", "--out", report, by=key)
    for _ in range(SPLITS):
        chain.json("token", "split", "announce", by=OWNER)
        chain.mine(NOTICE_BLOCKS + PAUSE_BLOCKS)

    rows = {row["template"]: row for row in chain.json("templates", "list")["rows"]}
    assert rows[template]["fee"] == chain.json("templates", "show", template)["fee"] == now(8)
    rows = {row["block_id"]: row for row in chain.json("blocks", "list")["rows"]}
    assert rows[block]["price"] == chain.json("blocks", "show", block)["price"] == now(8)
    [row] = chain.json("oracle", "list", "--limit", 1)
    assert row["ceiling"] == chain.json("oracle", "show", request)["ceiling"] == now(8)
    assert "8 AI of epoch 4" in chain.run("oracle", "list").out
    assert chain.json("oracle", "verify", report)["price"] == now(8)
    assert chain.json("oracle", "answer", request, "--report", report, by=key)["paid"] == now(8)
    assert chain.json("oracle", "earned", signer)["earned"] == now(8)


def test_the_doctor_says_until_when_nothing_is_transferred(
    splitting: Chain, modelex: Modelex, tmp_path: Path
) -> None:
    chain, home = splitting, new_home(tmp_path / "home", splitting.network_file, nowhere())
    edit(home, ("http://127.0.0.1:1", chain.url))
    account = json.loads(modelex("token", "balance", "--home", home.path, "--json").out)["account"]
    chain.json("token", "transfer", account, "2", by=OWNER)
    chain.rpc("anvil_setBalance", account, hex(10**18))
    assert "account: 2 AI, and gas\n" in modelex("doctor", "--home", home.path).out
    block = chain.json("token", "split", "announce", by=OWNER)["splits_at"]
    chain.mine(NOTICE_BLOCKS)
    said = modelex("doctor", "--home", home.path).out
    assert f"account: 2 AI, and gas; $AI is not transferred before block {block}, " in said
