"""The compiled contracts that ship with the package: ABI, bytecode, and where immutables sit."""

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from p2p_modelex.chain.evm.abi import Abi

NAMES = (
    "AIToken",
    "NodeRegistry",
    "PaymentChannels",
    "DataBlocks",
    "Farm",
    "ModelReleases",
    "OracleHub",
    "PromptLibrary",
    "Ratings",
    "ScoreFeed",
    "Vesting",
    "WrappedAI",
)


@dataclass(frozen=True, slots=True)
class Artifact:
    """One compiled contract. immutables: (start, length) of what the constructor fills in."""

    name: str
    entries: tuple[dict[str, Any], ...]
    creation: bytes
    deployed: bytes
    immutables: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Contracts:
    """All contracts, and those that every node uses. errors: the custom errors of all."""

    artifacts: dict[str, Artifact]
    token: Abi
    registry: Abi
    channels: Abi
    errors: Abi


@cache
def load_contracts() -> Contracts:
    """Read the shipped artifacts, once."""
    artifacts = {name: _read_artifact(name) for name in NAMES}
    token, registry, channels = (Abi(artifacts[name].entries) for name in NAMES[:3])
    everything = [entry for artifact in artifacts.values() for entry in artifact.entries]
    errors = Abi([entry for entry in everything if entry["type"] == "error"])
    return Contracts(artifacts, token, registry, channels, errors)


def mask_immutables(code: bytes, artifact: Artifact) -> bytes:
    """Return the code with its immutables zeroed, as the compiler leaves them."""
    masked = bytearray(code)
    for start, length in artifact.immutables:
        if start + length <= len(masked):
            masked[start : start + length] = bytes(length)
    return bytes(masked)


def _read_artifact(name: str) -> Artifact:
    folder = resources.files("p2p_modelex.chain") / "artifacts"
    raw = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return Artifact(
        name,
        tuple(raw["abi"]),
        bytes.fromhex(raw["bytecode"].removeprefix("0x")),
        bytes.fromhex(raw["deployedBytecode"].removeprefix("0x")),
        tuple((start, length) for start, length in raw["immutables"]),
    )
