"""One target under atheris: `python -m tests.fuzz.drive NAME [libFuzzer options and folders]`."""

import importlib
import sys
from functools import lru_cache

import atheris

# What a target reads hostile input with besides our own code, where it is Python.
INSTRUMENTED = ["p2p_modelex", "tomllib", "eth_abi", "h11", "jinja2"]


def main() -> None:
    name, *rest = sys.argv[1:]
    with atheris.instrument_imports(include=INSTRUMENTED):
        target = importlib.import_module(f"tests.fuzz.targets.{name}")
        envelope = importlib.import_module("p2p_modelex.records.envelope")
    # The same few records are signed and verified again and again, at most of the cost.
    vars(envelope)["crypto_sign_open"] = lru_cache(8192)(vars(envelope)["crypto_sign_open"])
    atheris.Setup([sys.argv[0], *rest], target.run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
