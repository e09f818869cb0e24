"""Compile Solidity with npm's soljson.js inside V8 (mini-racer): no native solc, no node.

Answers the two calls that forge makes of a compiler: `--version`, and `--standard-json` on stdin.
What is deployed is compiled as forge asks. Tests are not deployed, so they go without the
optimiser, which would work longer on them than on the contracts.
"""

# ruff: noqa: INP001, T201 - a script, which prints and belongs to no package

import json
import os
import sys
from pathlib import Path
from typing import Any

SOLC = Path(__file__).parents[1] / "node_modules" / "solc"
# forge asks for it at every start, so V8 does not; Compiler holds it to the binary.
VERSION = "0.8.37+commit.f401782d"
# A browser-like environment is all soljson.js asks for.
_PRELUDE = "var exports = {}; var console = {log() {}, warn() {}, error() {}};"
_VERSION_CALL = "Module.cwrap('solidity_version', 'string', [])()"
_CALL = "Module.cwrap('solidity_compile', 'string', ['string', 'number', 'number'])"


class Compiler:
    """soljson.js in a V8 of its own, which gets faster as it compiles."""

    def __init__(self) -> None:
        """RuntimeError if node_modules holds another compiler than VERSION."""
        from py_mini_racer import MiniRacer

        self._context = MiniRacer()
        self._context.eval(_PRELUDE)
        self._context.eval((SOLC / "soljson.js").read_text())
        found = str(self._context.eval(_VERSION_CALL))
        if not found.startswith(VERSION):
            raise RuntimeError(f"node_modules/solc is {found}, not {VERSION}: run npm ci")

    def compile_standard(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return solc's standard JSON output for a standard JSON input."""
        text = json.dumps(json.dumps(request))
        answer: dict[str, Any] = json.loads(str(self._context.eval(f"{_CALL}({text}, 0, 0)")))
        return answer


def compile_for_forge(request: dict[str, Any]) -> dict[str, Any]:
    """Return the output for forge's input: `src/` by its settings, the rest not optimised.

    Both times solc reads all sources, so that ids in source maps are the same.
    """
    compiler = Compiler()
    settings = request["settings"]
    asked = settings["outputSelection"]
    answer: dict[str, Any] = {"contracts": {}, "sources": {}, "errors": []}
    for deployed in (True, False):
        wanted = {unit: asked[unit] for unit in asked if unit.startswith("src/") == deployed}
        if not wanted:
            continue
        changed: dict[str, Any] = {"outputSelection": wanted}
        if not deployed:
            changed["optimizer"] = {"enabled": False}
        part = compiler.compile_standard(request | {"settings": settings | changed})
        answer["contracts"] |= part.get("contracts", {})
        answer["sources"] |= part.get("sources", {})
        answer["errors"] += [e for e in part.get("errors", []) if e not in answer["errors"]]
    return answer


def main() -> None:
    """Act as solc."""
    if "--version" in sys.argv:
        print(f"solc, the solidity compiler commandline interface\nVersion: {VERSION}.Linux.g++")
        return
    code = 1
    try:
        print(json.dumps(compile_for_forge(json.load(sys.stdin))), flush=True)
        code = 0
    except RuntimeError as error:
        print(error, file=sys.stderr, flush=True)
    # V8's threads may keep the interpreter from ending after an exception.
    os._exit(code)


if __name__ == "__main__":
    main()
