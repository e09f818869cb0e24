"""Build p2p_modelex/chain/artifacts from contracts/src, so that a pip user needs no compiler.

    python contracts/tools/build.py            write the artifacts
    python contracts/tools/build.py --check    exit 1 if the shipped ones differ from a rebuild

Builds are byte-identical on every machine: the compiler is npm's, pinned by the lock file, and the
settings leave no metadata hash in the code. What forge has just compiled is not compiled again.
"""

# ruff: noqa: INP001, T201 - a script, which prints and belongs to no package

import hashlib
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import forge_out
import layout
import soljson

ROOT = Path(__file__).parents[1]
ARTIFACTS = ROOT.parent / "p2p_modelex" / "chain" / "artifacts"
CONTRACTS = (
    "AIToken",
    "DataBlocks",
    "Farm",
    "ModelReleases",
    "NodeRegistry",
    "OracleHub",
    "PaymentChannels",
    "PromptLibrary",
    "Ratings",
    "ScoreFeed",
    "Vesting",
    "WrappedAI",
)
OPENZEPPELIN = ROOT / "node_modules" / "@openzeppelin" / "contracts"
# The same as in foundry.toml; test_artifacts holds both together.
SETTINGS: dict[str, Any] = {
    "optimizer": {"enabled": True, "runs": 10000},
    "evmVersion": "cancun",
    "metadata": {"bytecodeHash": "none", "appendCBOR": False},
}
_OUTPUTS = ["abi", "storageLayout", "evm.bytecode.object", "evm.deployedBytecode"]
_IMPORT = re.compile(r'^import\s[^;]*?"([^"]+)";', re.MULTILINE)


def gather_sources() -> dict[str, str]:
    """Return unit name -> text for the contracts and all they import, sorted by name."""
    found: dict[str, str] = {}
    waiting = [f"src/{name}.sol" for name in CONTRACTS]
    while waiting:
        unit = waiting.pop()
        if unit in found:
            continue
        base = ROOT / "node_modules" if unit.startswith("@") else ROOT
        found[unit] = (base / unit).read_text()
        waiting += [_resolve(unit, target) for target in _IMPORT.findall(found[unit])]
    return dict(sorted(found.items()))


def _resolve(unit: str, target: str) -> str:
    """Return the unit name that `target`, imported by `unit`, stands for."""
    if not target.startswith("."):
        return target
    return (Path("/") / unit).parent.joinpath(target).resolve().relative_to("/").as_posix()


def compile_contracts(sources: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Return solc's output by contract; RuntimeError with the messages on any error or warning."""
    found = {
        name: forge_out.read_compiled(name, sources, SETTINGS, soljson.VERSION)
        for name in CONTRACTS
    }
    compiled = {name: output for name, output in found.items() if output is not None}
    if len(compiled) == len(CONTRACTS):
        return compiled
    request = {
        "language": "Solidity",
        "sources": {unit: {"content": text} for unit, text in sources.items()},
        "settings": SETTINGS | {"outputSelection": {"*": {"*": _OUTPUTS}}},
    }
    answer = soljson.Compiler().compile_standard(request)
    wrong = [e["formattedMessage"] for e in answer.get("errors", []) if _is_ours(e)]
    if wrong:
        raise RuntimeError("\n".join(wrong))
    return {name: answer["contracts"][f"src/{name}.sol"][name] for name in CONTRACTS}


def _is_ours(error: dict[str, Any]) -> bool:
    """Whether a message counts: any error, and warnings about our own sources."""
    location = error.get("sourceLocation", {}).get("file", "src/")
    return error["severity"] == "error" or bool(location.startswith("src/"))


def build_artifact(name: str, output: dict[str, Any]) -> dict[str, Any]:
    """Return what is shipped of a contract.

    The compiler keys immutable references by AST ids, which depend on what else is compiled:
    they are shipped as sorted [start, length] pairs, in bytes of the deployed code.
    """
    deployed = output["evm"]["deployedBytecode"]
    places = deployed.get("immutableReferences", {}).values()
    return {
        "contract": name,
        "abi": output["abi"],
        "bytecode": "0x" + output["evm"]["bytecode"]["object"],
        "deployedBytecode": "0x" + deployed["object"],
        "immutables": sorted([at["start"], at["length"]] for group in places for at in group),
        "storageLayout": layout.build_layout(output["storageLayout"]),
    }


def build_manifest(sources: dict[str, str]) -> dict[str, Any]:
    """Return what the artifacts were made from."""
    compiler = (soljson.SOLC / "soljson.js").read_bytes()
    return {
        "solc": soljson.VERSION,
        "soljson": "sha512:" + hashlib.sha512(compiler).hexdigest(),
        "openzeppelin": json.loads((OPENZEPPELIN / "package.json").read_text())["version"],
        "settings": SETTINGS,
        "sources": {
            unit: "sha256:" + hashlib.sha256(text.encode()).hexdigest()
            for unit, text in sources.items()
        },
    }


def build() -> dict[str, str]:
    """Return file name -> text for everything in the artifacts folder."""
    sources = gather_sources()
    shipped: dict[str, dict[str, Any]] = {
        f"{name}.json": build_artifact(name, output)
        for name, output in compile_contracts(sources).items()
    }
    shipped["manifest.json"] = build_manifest(sources)
    return {name: json.dumps(content, indent=1) + "\n" for name, content in shipped.items()}


def find_differences(built: dict[str, str]) -> list[str]:
    """Return the names of shipped files that differ from a rebuild, or should not be there."""
    shipped = {path.name: path.read_text() for path in ARTIFACTS.glob("*.json")}
    return sorted(n for n in built.keys() | shipped.keys() if built.get(n) != shipped.get(n))


def main() -> int:
    """Write the artifacts, or compare them with `--check`; the exit status."""
    built = build()
    different = find_differences(built)
    if "--check" in sys.argv:
        for name in different:
            print(f"{name} differs from a rebuild: run `make contracts` and commit the result")
        return 1 if different else 0
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    for name, text in built.items():
        (ARTIFACTS / name).write_text(text)
    print(f"wrote {len(built)} files to {ARTIFACTS.relative_to(ROOT.parent)}")
    print(f"changed: {', '.join(different) or 'nothing'}")
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    # V8's threads can keep the interpreter from ending (see soljson.py).
    os._exit(status)
