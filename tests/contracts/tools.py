"""The scripts of contracts/tools as modules."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

CONTRACTS = Path(__file__).parents[2] / "contracts"


def load_tool(name: str) -> ModuleType:
    """A script of contracts/tools; they find one another beside themselves."""
    sys.path.insert(0, str(CONTRACTS / "tools"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.pop(0)
