"""Compile Solidity with npm's soljson.js inside V8 (mini-racer): no native solc, no node.

Answers the two calls that forge makes of a compiler: `--version`, and `--standard-json` on stdin.
"""

# ruff: noqa: INP001, T201 - a script, which prints and belongs to no package

import json
import os
import sys
from pathlib import Path

SOLC = Path(__file__).parents[1] / "node_modules" / "solc"
# forge asks for it at every start, so V8 does not; compile_standard holds it to the binary.
VERSION = "0.8.37+commit.f401782d"
# A browser-like environment is all soljson.js asks for.
_PRELUDE = "var exports = {}; var console = {log() {}, warn() {}, error() {}};"
_VERSION_CALL = "Module.cwrap('solidity_version', 'string', [])()"
_CALL = "Module.cwrap('solidity_compile', 'string', ['string', 'number', 'number'])"


def compile_standard(request: str) -> str:
    """Return solc's standard JSON output for a standard JSON input.

    RuntimeError if node_modules holds another compiler than VERSION.
    """
    from py_mini_racer import MiniRacer

    context = MiniRacer()
    context.eval(_PRELUDE)
    context.eval((SOLC / "soljson.js").read_text())
    found = str(context.eval(_VERSION_CALL))
    if not found.startswith(VERSION):
        raise RuntimeError(f"node_modules/solc is {found}, not {VERSION}: run npm ci in contracts/")
    return str(context.eval(f"{_CALL}({json.dumps(request)}, 0, 0)"))


def main() -> None:
    """Act as solc."""
    if "--version" in sys.argv:
        print(f"solc, the solidity compiler commandline interface\nVersion: {VERSION}.Linux.g++")
        return
    code = 1
    try:
        print(compile_standard(sys.stdin.read()), flush=True)
        code = 0
    except RuntimeError as error:
        print(error, file=sys.stderr, flush=True)
    # V8's threads may keep the interpreter from ending after an exception.
    os._exit(code)


if __name__ == "__main__":
    main()
