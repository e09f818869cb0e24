"""Reading and writing `modelex.toml`. Strict: an unknown key or a wrong value names its line."""

import os
from collections.abc import Mapping
from pathlib import Path

from p2p_modelex.node.configuration import Configuration


def read_configuration(path: Path, *, environ: Mapping[str, str] = os.environ) -> Configuration:
    """Read a file and apply the MODELEX_ variables. ConfigurationError names file, line, remedy."""
    raise NotImplementedError


def parse_configuration(text: str, *, source: str = "modelex.toml") -> Configuration:
    """Parse the text of a configuration file."""
    raise NotImplementedError


def write_configuration(configuration: Configuration) -> str:
    """Return the text of a configuration file with every option, its meaning and its default."""
    raise NotImplementedError
