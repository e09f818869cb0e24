"""The API key of an upstream: from a file or the environment, never on a command line."""

import os

from p2p_modelex.engine.spec import UpstreamSpec
from p2p_modelex.errors import ConfigurationError

_KEY_BYTES = 4096


def read_key(wanted: UpstreamSpec) -> str:
    """Return the key, empty for none. Raises ConfigurationError, never showing what was read."""
    if wanted.key_file is not None:
        try:
            with wanted.key_file.open("rb") as file:
                lines = file.read(_KEY_BYTES + 1).split(b"\n")
        except OSError as error:
            raise ConfigurationError(
                f"cannot read the key file {wanted.key_file}: {error.strerror}",
                hint="set upstream_key_file of the model",
            ) from error
        return _check(lines[0].strip().decode("latin-1"), str(wanted.key_file))
    if wanted.key_variable:
        value = os.environ.get(wanted.key_variable)
        if value is None:
            raise ConfigurationError(
                f"the variable {wanted.key_variable} is not set",
                hint="it is to hold the upstream's API key",
            )
        return _check(value.strip(), wanted.key_variable)
    return ""


def _check(key: str, source: str) -> str:
    """A header's value has no spaces, line ends or other bytes than ASCII's visible ones."""
    if not key or len(key) > _KEY_BYTES or not all("!" <= character <= "~" for character in key):
        raise ConfigurationError(f"{source} holds no API key", hint="its first line is the key")
    return key
