"""What forge compiled is taken for a rebuild only where it is one; layouts carry no ids."""

import json
from pathlib import Path
from typing import Any

import pytest
from eth_hash.auto import keccak

from tests.contracts.tools import load_tool

VERSION = "0.8.37+commit.f401782d"
SETTINGS = {"evmVersion": "cancun"}
SOURCES = {"src/Farm.sol": "contract Farm {}", "@openzeppelin/A.sol": "contract A {}"}


def write_forge_output(folder: Path, sources: dict[str, str], settings: dict[str, str]) -> None:
    digests = {
        unit.replace("@", "node_modules/@"): {"keccak256": "0x" + keccak(text.encode()).hex()}
        for unit, text in sources.items()
    }
    made_from = {
        "compiler": {"version": VERSION},
        "output": {"abi": ["in solc's order"]},
        "settings": settings,
        "sources": digests,
    }
    artifact = {
        "abi": ["in forge's order"],
        "rawMetadata": json.dumps(made_from),
        "storageLayout": {"storage": [], "types": None},
        "bytecode": {"object": "0x60"},
        "deployedBytecode": {"object": "0x61", "immutableReferences": {}},
    }
    (folder / "Farm.sol").mkdir()
    (folder / "Farm.sol" / "Farm.json").write_text(json.dumps(artifact))


def read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any] | None:
    forge_out = load_tool("forge_out")
    monkeypatch.setattr(forge_out, "OUT", folder)
    found: dict[str, Any] | None = forge_out.read_compiled("Farm", SOURCES, SETTINGS, VERSION)
    return found


def test_what_forge_made_of_these_sources_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_forge_output(tmp_path, SOURCES, SETTINGS)
    assert read(tmp_path, monkeypatch) == {
        "abi": ["in solc's order"],
        "storageLayout": {"storage": [], "types": None},
        "evm": {
            "bytecode": {"object": "60"},
            "deployedBytecode": {"object": "61", "immutableReferences": {}},
        },
    }


@pytest.mark.parametrize(
    ("sources", "settings"),
    [
        (SOURCES | {"src/Farm.sol": "contract Farm { }"}, SETTINGS),
        (SOURCES | {"@openzeppelin/A.sol": "contract B {}"}, SETTINGS),
        (SOURCES | {"src/Gone.sol": ""}, SETTINGS),
        (SOURCES, {"evmVersion": "paris"}),
    ],
)
def test_what_forge_made_of_others_is_not(
    sources: dict[str, str],
    settings: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_forge_output(tmp_path, sources, settings)
    assert read(tmp_path, monkeypatch) is None


def test_without_forges_output_there_is_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read(tmp_path, monkeypatch) is None


def variable(type_: str) -> dict[str, Any]:
    return {"astId": 7, "contract": "src/A.sol:A", "label": "a", "offset": 0, "slot": "1"} | {
        "type": type_
    }


def test_a_layout_loses_ids_and_keeps_lengths() -> None:
    struct = {"label": "struct A.S", "members": [variable("t_enum(Use)51")], "numberOfBytes": "32"}
    layout = {
        "storage": [variable("t_array(t_struct(S)12_storage)50_storage")],
        "types": {"t_struct(S)12_storage": struct},
    }
    assert load_tool("layout").build_layout(layout) == {
        "storage": [
            {"label": "a", "slot": "1", "type": "t_array(t_struct(S)_storage)50_storage"}
            | {"offset": 0}
        ],
        "types": {
            "t_struct(S)_storage": {
                "label": "struct A.S",
                "members": [{"label": "a", "slot": "1", "type": "t_enum(Use)", "offset": 0}],
                "numberOfBytes": "32",
            }
        },
    }


def test_two_types_of_one_name_are_refused() -> None:
    layout = {
        "storage": [],
        "types": {
            "t_struct(S)12_storage": {"label": "struct A.S"},
            "t_struct(S)13_storage": {"label": "struct B.S"},
        },
    }
    with pytest.raises(ValueError, match=r"two types are called t_struct\(S\)_storage"):
        load_tool("layout").build_layout(layout)
