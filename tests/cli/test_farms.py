"""`modelex farm`: the walk of docs/farms.md on real nodes, and what is refused."""

import json
import re
import shlex
import time
from pathlib import Path
from string import Template

import pytest

from p2p_modelex.demo.mesh import SENTIMENT, Mesh
from p2p_modelex.ids import format_address, format_peer_id
from p2p_modelex.keys.keystore import read_peer
from p2p_modelex.node.farms import list_joined, list_owned
from p2p_modelex.node.home import Home
from tests.cli.conftest import Modelex, Said
from tests.tidy.tree import ROOT

PAYEE = "0x" + "fa" * 20
STRANGER = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"
PATIENCE_S = 60


def read_walk() -> list[str]:
    page = (ROOT / "docs" / "farms.md").read_text()
    walk, *_ = page.split("## From founding to income\n")[1].split("\n## ")
    return [line.strip() for line in walk.splitlines() if line.startswith("    ")]


def persist(modelex: Modelex, words: list[str], whom: set[str], not_whom: set[str]) -> Said:
    """Look until the mesh has heard: a running node reads its files every 5 seconds."""
    end = time.monotonic() + PATIENCE_S
    while True:
        said = modelex(*words)
        seen = {peer for peer in whom | not_whom if peer in said.out}
        if seen == whom or time.monotonic() > end:
            assert (said.code, seen) == (0, whom), said
            return said


@pytest.mark.slow
def test_the_walk_works_as_printed(
    modelex: Modelex, mesh: Mesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, str] = {}
    for name in ("ada", "bert", "client"):
        (tmp_path / name).symlink_to(mesh.homes[name].path)
        names[f"{name.upper()}_PEER"] = format_peer_id(mesh.keys[name].peer.peer)
        names[f"{name.upper()}_ACCOUNT"] = format_address(mesh.keys[name].account.address)
    ada, bert = names["ADA_PEER"], names["BERT_PEER"]
    for peer in (ada, bert):
        own = ("run", "Losses", "--model", SENTIMENT, "--kind", "score", "--max-tokens", 1)
        said = modelex(*own, "--peer", peer, "--home", mesh.homes["client"].path)
        assert said.code == 0, "what they sell on their own is settled beside the farm's"
    out, wanted = "", ({ada, bert}, set[str]())
    said_by: dict[str, list[str]] = {}
    for line in read_walk():
        if line.startswith("export FARM"):
            match = re.search(r"^farm +(0x[0-9a-f]+)$", out, re.MULTILINE)
            assert match is not None, out
            names["FARM"] = match[1]
            continue
        words = shlex.split(Template(line).substitute(names))[1:]
        if words[:2] == ["farm", "find"]:
            said = persist(modelex, words, *wanted)
        else:
            said = modelex(*words)
            assert said.code == 0, (line, said)
        if words[:2] == ["farm", "revoke"]:
            wanted = {ada}, {bert}
        out = said.out
        said_by.setdefault(" ".join(words[: 1 + (words[0] == "farm")]), []).append(said.out)
    check_money(modelex, mesh, names["FARM"], said_by)
    channel = said_by["channels"][0].split(f"\n  payer with {names['FARM']}")[0].splitlines()[-1]
    said = modelex("close", channel, "--home", mesh.homes["ada"].path)
    said.check_error(2, "which alone can close it", "modelex settle")
    found = json.loads(modelex("farm", "find", "harvest", "--json", "--home", "client").out)
    assert [(row["member"], row["model"]) for row in found["members"]] == [(ada, SENTIMENT)]
    assert found["record_age_s"] < PATIENCE_S
    assert len(list_owned(mesh.homes["ada"])[0].roll.admissions) == 2
    assert list_joined(mesh.homes["bert"]) == []
    assert modelex("farm", "leave", "harvest", "--home", mesh.homes["ada"].path).code == 0


def check_money(modelex: Modelex, mesh: Mesh, farm: str, said_by: dict[str, list[str]]) -> None:
    """One channel to the farm, what came in is divided by 6 and 4, and bert has its part."""
    assert said_by["channels"][0].count(f"payer with {farm}") == 1
    assert all("credited" in said for said in said_by["settle"])
    shown = modelex("farm", "show", farm, "--json", "--home", mesh.homes["client"].path)
    income = int(json.loads(shown.out)["income"]["wei"])
    released = re.search(r"released +([0-9.]+)", said_by["farm release"][0])
    assert released is not None
    assert abs(float(released[1]) * 10**18 - income * 4 / 10) < 10**9
    assert "income weight  6" in said_by["farm join"][0]


def create(modelex: Modelex, home: Home, name: str = "harvest") -> Said:
    return modelex("farm", "create", name, "--payee", PAYEE, "--home", home.path)


def test_a_farm_is_founded_once(modelex: Modelex, lonely: Home) -> None:
    assert create(modelex, lonely).code == 0
    create(modelex, lonely).check_error(2, "owned here already")
    create(modelex, lonely, "Harvest").check_error(2, "neither a farm's name nor its id")
    create(modelex, lonely, STRANGER).check_error(2, "not a farm's name")
    [file] = list_owned(lonely)
    assert (file.roll.name, file.roll.payee) == ("harvest", PAYEE)
    assert (lonely.keys / "farm-harvest.json").stat().st_mode & 0o77 == 0
    said = modelex("farm", "renew", "harvest", "--json", "--home", lonely.path)
    assert json.loads(said.out)["farm"] == file.roll.farm
    [renewed] = list_owned(lonely)
    assert renewed.roll.sequence > file.roll.sequence


def test_what_an_owner_cannot_give_is_refused(
    modelex: Modelex, lonely: Home, tmp_path: Path
) -> None:
    """FRM-17."""
    create(modelex, lonely)
    out = tmp_path / "one.json"

    def admit(*more: object) -> Said:
        words = ("farm", "admit", "harvest", STRANGER, "--out", out, *more)
        return modelex(*words, "--home", lonely.path)

    said = admit("--weight", 10_000, "--json")
    assert json.loads(said.out)["index"] == 1
    modelex(
        *("farm", "admit", "harvest", format_peer_id(read_peer(lonely.keys)), "--home", lonely.path)
    ).check_error(2, "of which 0 are left")
    modelex("farm", "admit", "orchard", STRANGER, "--home", lonely.path).check_error(
        2, "no farm orchard is owned here"
    )
    modelex("farm", "revoke", "harvest", "7", "--home", lonely.path).check_error(
        2, "no certificate that holds"
    )
    said = modelex("farm", "revoke", "harvest", STRANGER, "--json", "--home", lonely.path)
    assert json.loads(said.out)["revoked"] == [1]
    rows = json.loads(modelex("farm", "list", "--json", "--home", lonely.path).out)
    assert [(row["role"], row["serial"], row["revoked"]) for row in rows] == [("owner", 1, True)]


def test_who_joins_is_told_what_is_wrong(modelex: Modelex, lonely: Home, tmp_path: Path) -> None:
    create(modelex, lonely)
    theirs, ours, own = (tmp_path / f"{name}.json" for name in ("theirs", "ours", "own"))
    admit = ("farm", "admit", "harvest")
    home = ("--home", lonely.path)
    nowhere = tmp_path / "none" / "x.json"
    modelex(*admit, STRANGER, "--out", nowhere, *home).check_error(3, "cannot write")
    own.write_text("notes of its owner")
    modelex(*admit, STRANGER, "--out", own, *home).check_error(3, "own.json is there already")
    assert own.read_text() == "notes of its owner"
    assert modelex("farm", "list", *home).out == ""
    assert modelex(*admit, STRANGER, "--out", theirs, *home).code == 0
    peer = format_peer_id(read_peer(lonely.keys))
    assert modelex(*admit, peer, "--out", ours, *home).code == 0
    modelex("farm", "join", theirs, *home).check_error(2, "FRM-2", f"admits {peer}")
    own.write_text("{}")
    modelex("farm", "join", own, *home).check_error(3, "damaged, or no farm's file")
    own.write_text(ours.read_text().replace('"certificate": "', '"certificate": "zz'))
    modelex("farm", "join", own, *home).check_error(3, "damaged, or no farm's file")
    modelex("farm", "leave", "harvest", *home).check_error(2, "no farm harvest is joined")
    said = modelex("farm", "join", ours, "--json", *home)
    assert said.code == 0, said
    assert "no Farm whose terms could be read" in json.loads(said.out)["warning"]
    assert [file.membership.certificate.index for file in list_joined(lonely)] == [2]
    listed = modelex("farm", "list", *home)
    assert "member" in listed.out
    assert modelex("farm", "leave", "harvest", *home).code == 0
    assert list_joined(lonely) == []


def test_a_farm_that_is_not_there_is_not_found(modelex: Modelex, mesh: Mesh) -> None:
    client = mesh.homes["client"].path
    said = modelex("farm", "find", "nowhere", "--home", client)
    said.check_error(8, "RTE-27: nobody sells through farm nowhere")
    run = ("run", "hello", "--model", SENTIMENT, "--kind", "score", "--max-tokens", 1)
    said = modelex(*run, "--farm", "nowhere", "--home", client)
    said.check_error(8, "RTE-27", "modelex nodes shows of which farms")
