"""The shipped contracts are what contracts/src compiles to, and what the records expect."""

import json
import re
import subprocess
import sys
import tomllib
from typing import Any

import pytest
from eth_hash.auto import keccak

from p2p_modelex.chain.evm.artifacts import NAMES
from p2p_modelex.records import ownership, receipt, voucher
from tests.contracts.tools import CONTRACTS, load_tool

ARTIFACTS = CONTRACTS.parent / "p2p_modelex" / "chain" / "artifacts"


def read(name: str) -> dict[str, Any]:
    artifact: dict[str, Any] = json.loads((ARTIFACTS / f"{name}.json").read_text())
    return artifact


def type_of(name: str, struct: str) -> bytes:
    """The EIP-712 type that an ABI's struct stands for."""
    for entry in read(name)["abi"]:
        for argument in entry.get("inputs", []):
            if argument.get("internalType", "").endswith(f".{struct}"):
                fields = ",".join(f"{c['type']} {c['name']}" for c in argument["components"])
                return f"{struct}({fields})".encode()
    raise AssertionError(f"{name} has no {struct}")


@pytest.mark.slow
def test_artifacts_are_what_the_sources_compile_to() -> None:
    assert (CONTRACTS / "node_modules" / "solc").is_dir(), "run `make contracts` first"
    ran = subprocess.run(
        [sys.executable, CONTRACTS / "tools" / "build.py", "--check"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_build_and_forge_use_the_same_settings() -> None:
    forge = tomllib.loads((CONTRACTS / "foundry.toml").read_text())["profile"]["default"]
    expected = {
        "optimizer": {"enabled": forge["optimizer"], "runs": forge["optimizer_runs"]},
        "evmVersion": forge["evm_version"],
        "metadata": {
            "bytecodeHash": forge["bytecode_hash"],
            "appendCBOR": forge["cbor_metadata"],
        },
    }
    assert expected == load_tool("build").SETTINGS
    assert read("manifest")["settings"] == expected


@pytest.mark.parametrize("name", NAMES)
def test_immutables_lie_inside_the_deployed_code_and_are_zero(name: str) -> None:
    artifact = read(name)
    code = bytes.fromhex(artifact["deployedBytecode"][2:])
    assert artifact["immutables"] == sorted(artifact["immutables"])
    # A Vesting's grants are in its storage.
    assert artifact["immutables"] or name == "Vesting"
    for start, length in artifact["immutables"]:
        assert code[start : start + length] == bytes(length)


@pytest.mark.parametrize("name", NAMES)
def test_storage_layouts_are_whole_and_have_no_ids(name: str) -> None:
    layout = read(name)["storageLayout"]
    types = layout["types"]
    structs = [found["members"] for found in types.values() if "members" in found]
    for variables in (layout["storage"], *structs):
        places = [(int(v["slot"]), v["offset"]) for v in variables]
        # In order, each in a place of its own, and of a type that is described.
        assert places == sorted(set(places))
        assert all(variable["type"] in types for variable in variables)
    assert not re.search(r"(struct|enum|contract)\([^()]*\)\d", json.dumps(layout))


@pytest.mark.parametrize("name", NAMES)
def test_contracts_fit_the_code_size_limit(name: str) -> None:
    assert len(read(name)["deployedBytecode"]) // 2 - 1 <= 24_576  # EIP-170


@pytest.mark.parametrize(
    ("name", "struct", "expected"),
    [
        ("PaymentChannels", "Voucher", voucher.TYPE),
        ("NodeRegistry", "Receipt", receipt.TYPE),
        ("NodeRegistry", "Ownership", ownership.TYPE),
    ],
)
def test_structs_are_the_records(name: str, struct: str, expected: bytes) -> None:
    assert type_of(name, struct) == expected
    # The type hash is a constant in the code.
    assert keccak(expected).hex() in read(name)["deployedBytecode"]


def test_the_lock_file_pins_versions_and_names_no_registry() -> None:
    lock = (CONTRACTS / "package-lock.json").read_text()
    packages = {k: v for k, v in json.loads(lock)["packages"].items() if k}
    assert '"resolved"' not in lock
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    asked = json.loads((CONTRACTS / "package.json").read_text())["devDependencies"]
    assert all(packages[f"node_modules/{name}"]["version"] == asked[name] for name in asked)
    assert read("manifest")["openzeppelin"] == asked["@openzeppelin/contracts"]
    assert read("manifest")["solc"].startswith(asked["solc"] + "+commit.")
