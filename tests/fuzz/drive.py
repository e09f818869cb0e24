"""One target under atheris: `python -m tests.fuzz.drive NAME [libFuzzer options and folders]`."""

import importlib
import sys

import atheris

# What a target reads hostile input with besides our own code, where it is Python.
INSTRUMENTED = ["p2p_modelex", "tomllib", "eth_abi", "h11"]


def main() -> None:
    name, *rest = sys.argv[1:]
    with atheris.instrument_imports(include=INSTRUMENTED):
        target = importlib.import_module(f"tests.fuzz.targets.{name}")
    atheris.Setup([sys.argv[0], *rest], target.run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
