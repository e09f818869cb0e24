"""The private chain's database as one file: a first line that names it, then msgpack."""

import os
import tempfile
from pathlib import Path

import msgpack

from p2p_modelex.errors import ConfigurationError
from p2p_modelex.limits import MIB

STATE_BYTES = 1024 * MIB  # some 100,000 transactions; py-evm holds all of it in memory
_MAGIC = b"modelex devnet, py-evm, state 1\n"


def read_state(path: Path) -> dict[bytes, bytes]:
    """Return what was kept; nothing if there is no file. ConfigurationError if it is not ours."""
    try:
        with path.open("rb") as file:
            is_ours = file.read(len(_MAGIC)) == _MAGIC
            content = file.read(STATE_BYTES + 1) if is_ours else b""
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error}") from error
    try:
        store = msgpack.unpackb(content, raw=False) if len(content) <= STATE_BYTES else None
    except (ValueError, msgpack.UnpackException):
        store = None
    if not isinstance(store, dict) or not all(
        isinstance(key, bytes) and isinstance(value, bytes) for key, value in store.items()
    ):
        raise ConfigurationError(
            f"{path} is not a state of the py-evm devnet",
            hint="anvil's states are read by `--engine anvil` only; name another file",
        )
    return store


def write_state(path: Path, store: dict[bytes, bytes]) -> None:
    """Write the file whole or not at all. Raises OSError."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
        try:
            file.write(_MAGIC + msgpack.packb(store))
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
