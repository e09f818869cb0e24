import json
from hashlib import sha256
from pathlib import Path

import pytest
import trio

from p2p_modelex.chain.devnet import advance_time
from p2p_modelex.units import AI
from tests.cli.conftest import Modelex
from tests.cli.contracts.conftest import Chain


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "deep").mkdir(parents=True)
    (folder / "headlines.csv").write_text("day,headline\n")
    (folder / "deep" / "é.txt").write_text("abc")
    return folder


def offer(chain: Chain, data: Path, key: bytes, *more: object) -> str:
    terms = data.parent / "terms.txt"
    terms.write_text("Fine-tune only.\n")
    words = ("blocks", "offer", data, "--price", "5", "--duration", "1h", "--use", "fine-tune")
    return str(chain.json(*words, "--terms", terms, *more, by=key)["block_id"])


@pytest.mark.slow
def test_a_block_is_offered_leased_and_runs_out(chain: Chain, data: Path) -> None:
    (creator, account), (lessee, tenant) = chain.newcomer(), chain.newcomer()
    block = offer(chain, data, creator, "--max-lessees", 1, "--uri", "https://x")
    shown = chain.json("blocks", "show", block)
    assert (shown["creator"], shown["duration_s"], shown["use"]) == (account, 3600, "fine-tune")
    assert chain.json("blocks", "has-lease", block, tenant)["has_lease"] is False
    leased = chain.json("blocks", "lease", block, "--ceiling", "5", by=lessee)
    assert (leased["lessee"], leased["price"]) == (tenant, {"wei": str(5 * AI), "epoch": 0})
    held = chain.json("blocks", "has-lease", block, tenant)
    assert held == {"lessee": tenant, "has_lease": True, "until": leased["until"]}
    assert "has lease  yes\n" in chain.run("blocks", "has-lease", block, tenant).out
    said = chain.run("blocks", "lease", block, "--lessee", account, by=lessee)
    said.check_error(12, "NoSeatFree", "the next seat is free at 2")

    trio.run(advance_time, chain.url, 3600)
    assert chain.json("blocks", "has-lease", block, tenant)["has_lease"] is False
    assert chain.json("blocks", "lease", block, "--lessee", account, by=lessee)["lessee"] == account
    assert chain.json("blocks", "earned", account)["earned"]["wei"] == str(10 * AI)
    assert chain.json("blocks", "withdraw", by=creator)["withdrawn"]["wei"] == str(10 * AI)

    chain.json("blocks", "set-price", block, "6", by=creator)
    said = chain.run("blocks", "lease", block, "--ceiling", "5", by=lessee)
    said.check_error(11, "it costs 6 AI, more than the ceiling", "raise --ceiling")
    chain.json("blocks", "retire", block, by=creator)
    chain.run("blocks", "lease", block, by=lessee).check_error(12, "BlockRetired")
    [row] = [r for r in chain.json("blocks", "list")["rows"] if r["block_id"] == block]
    assert (row["leases"], row["retired"], row["max_lessees"]) == (2, True, 1)


def test_a_folder_is_what_was_offered_or_it_is_not(
    chain: Chain, data: Path, modelex: Modelex
) -> None:
    key, _ = chain.newcomer()
    block = offer(chain, data, key)
    manifest = modelex("blocks", "manifest", data)
    assert manifest.out == (
        "modelex-manifest/1\n"
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad 3 deep/é.txt\n"
        "f5e22841d6e3d1b6a4fe582d62c4b2658974fbfcfcba9fdbb40b6cdb032fa33c 13 headlines.csv\n"
    )
    assert chain.json("blocks", "verify", data, block)["verified"] is True
    (data / "headlines.csv").write_text("day,headline,\n")
    chain.run("blocks", "verify", data, block).check_error(14, "the chain has 0x")
    (data / "link").symlink_to("/etc/passwd")
    modelex("blocks", "manifest", data).check_error(2, "link is no plain file")
    (data / "empty").mkdir()
    said = modelex("blocks", "manifest", data / "empty")
    said.check_error(2, f"there is no file under {data / 'empty'}", "check the path")
    single = modelex("blocks", "manifest", data / "deep" / "é.txt").out.splitlines()
    assert single[1].endswith(" 3 é.txt")


def test_models_made_from_a_block_are_signed_off(chain: Chain, data: Path) -> None:
    (creator, _), (maker, account) = chain.newcomer(), chain.newcomer()
    block = offer(chain, data, creator)
    weights = data.parent / "model.gguf"
    weights.write_bytes(b"weights")
    signing = ("blocks", "sign-off", block, "--weights", weights, "--maker", account)
    chain.run(*signing, by=creator).check_error(12, "NeverLeased", "to have leased it")
    chain.json("blocks", "lease", block, by=maker)
    chain.json(*signing, by=creator)
    found = chain.json("blocks", "derivative", block, "--weights", weights)
    assert (found["signed_off"], found["maker"]) == (True, account)
    chain.json("blocks", "withdraw-sign-off", block, "--weights", weights, by=creator)
    assert chain.json("blocks", "derivative", block, "--weights", weights)["signed_off"] is False


@pytest.mark.parametrize("duration", ["0s", "1", "-1h", "1w", "1e3s"])
def test_a_duration_is_a_number_and_a_unit(modelex: Modelex, data: Path, duration: str) -> None:
    words = ("blocks", "offer", data, "--price", "1", "--use", "raw", "--terms")
    said = modelex(*words, data / "headlines.csv", f"--duration={duration}")
    said.check_error(2, "not a duration", "such as 15m")


@pytest.mark.slow
def test_a_manifest_for_programs_and_of_a_deep_folder(data: Path, modelex: Modelex) -> None:
    text = modelex("blocks", "manifest", data).out
    said = json.loads(modelex("blocks", "manifest", data, "--json").out)
    assert said == {"digest": "0x" + sha256(text.encode()).hexdigest(), "manifest": text}
    deep = data
    for _ in range(600):
        deep /= "d"
        deep.mkdir()
    assert modelex("blocks", "manifest", data).out == text
    (deep / "bottom").write_bytes(b"")
    modelex("blocks", "manifest", data).check_error(2, "has at most 1024 bytes", "shorter")
