"""What forge has compiled, where that is of these very sources, compiler and settings.

solc writes the digests of all a contract was made from into its metadata, and forge keeps that: a
rebuild after `forge test` need not compile again, and proves the same.
"""

# ruff: noqa: INP001 - part of a script, which belongs to no package

import json
from pathlib import Path
from typing import Any

from eth_hash.auto import keccak

OUT = Path(__file__).parents[1] / "out"


def read_compiled(
    name: str, sources: dict[str, str], settings: dict[str, Any], version: str
) -> dict[str, Any] | None:
    """Return a contract's output as solc gives it, from forge's; None if there is none of these.

    sources: unit name -> text of at least all that the contract imports.
    """
    path = OUT / f"{name}.sol" / f"{name}.json"
    if not path.is_file():
        return None
    found = json.loads(path.read_text())
    # solc's own words: forge reorders an ABI in its own.
    made_from = json.loads(found["rawMetadata"])
    if made_from["compiler"]["version"] != version or not _is_of(made_from["sources"], sources):
        return None
    if any(made_from["settings"][key] != value for key, value in settings.items()):
        return None
    evm = {key: _without_prefix(found[key]) for key in ("bytecode", "deployedBytecode")}
    return {"abi": made_from["output"]["abi"], "storageLayout": found["storageLayout"], "evm": evm}


def _is_of(digests: dict[str, Any], sources: dict[str, str]) -> bool:
    """Whether the metadata's digests are those of `sources`."""
    units = {unit.removeprefix("node_modules/"): entry for unit, entry in digests.items()}
    return all(
        unit in sources and entry["keccak256"] == "0x" + keccak(sources[unit].encode()).hex()
        for unit, entry in units.items()
    )


def _without_prefix(code: dict[str, Any]) -> dict[str, Any]:
    return code | {"object": code["object"].removeprefix("0x")}
