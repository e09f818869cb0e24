"""The private chain's database as one file: a first line that names it, then msgpack maps.

Each map is what one request changed, appended before the request is answered: a killed devnet
goes on where its last answer left it. A map that was cut off stands for a request that was never
answered, and is dropped.
"""

import os
from pathlib import Path
from typing import BinaryIO, Self

import msgpack

from p2p_modelex.errors import ConfigurationError
from p2p_modelex.limits import MIB

STATE_BYTES = 1024 * MIB  # some 100,000 transactions; py-evm holds all of it in memory
_MAGIC = b"modelex devnet, py-evm, state 1\n"


class Kept(dict[bytes, bytes]):
    """A database that remembers what changed since it was kept. Nothing is ever taken out."""

    def __init__(self) -> None:
        super().__init__()
        self._changed: dict[bytes, bytes] = {}

    def __setitem__(self, key: bytes, value: bytes) -> None:
        super().__setitem__(key, value)
        self._changed[key] = value

    def take_changes(self) -> dict[bytes, bytes]:
        changed, self._changed = self._changed, {}
        return changed


class StateFile:
    """One chain's file, locked by nobody: a devnet's port is what only one can have.

    Use as `with StateFile(path) as state:`.
    """

    def __init__(self, path: Path) -> None:
        """Read it, or begin one. ConfigurationError if it is not ours; OSError if reading fails."""
        self.store = Kept()
        try:
            # Nothing is written to a file that turns out to be another's.
            self._file: BinaryIO = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", 0)
        except OSError as error:
            raise ConfigurationError(f"cannot use {path}: {error}") from error
        try:
            self._read(path)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def _read(self, path: Path) -> None:
        content = self._file.read(STATE_BYTES + 1)
        if not content:
            self._file.write(_MAGIC)
            return
        is_ours = content.startswith(_MAGIC) and len(content) <= STATE_BYTES
        good = _replay(content[len(_MAGIC) :], self.store) if is_ours else None
        if good is None:
            raise ConfigurationError(
                f"{path} is not a state of the py-evm devnet",
                hint="anvil's states are read by `--engine anvil` only; name another file",
            )
        self._file.seek(len(_MAGIC) + good)
        self._file.truncate()

    def keep(self) -> None:
        """Append what changed; it survives this process from here on. Raises OSError."""
        changed = self.store.take_changes()
        if changed:
            rest = memoryview(msgpack.packb(changed))
            while rest:
                rest = rest[self._file.write(rest) :]


def _replay(content: bytes, store: Kept) -> int | None:
    """Take over the maps that are whole; return how many bytes they take, None if not ours."""
    size = max(1, len(content))
    unpacker = msgpack.Unpacker(
        raw=False, max_buffer_size=size, max_bin_len=size, max_map_len=size, strict_map_key=True
    )
    unpacker.feed(content)
    good = 0
    try:
        for batch in unpacker:
            if not isinstance(batch, dict) or not all(
                isinstance(key, bytes) and isinstance(value, bytes) for key, value in batch.items()
            ):
                return None
            store.update(batch)
            good = unpacker.tell()
    except (ValueError, msgpack.UnpackException):
        return None
    return good
