"""The data directory of one node: its layout and its lock."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from p2p_modelex.core.exchange.receipt_file import encode_receipt_file
from p2p_modelex.errors import ConfigurationError
from p2p_modelex.records.rows import ReceiptRow

VARIABLE = "MODELEX_HOME"
_PID_BYTES = 32


def default_home(environ: Mapping[str, str] = os.environ) -> "Home":
    """Return MODELEX_HOME, else the platform's place for a user's data."""
    chosen = environ.get(VARIABLE)
    return Home(Path(chosen) if chosen else platformdirs.user_data_path("modelex", False))


@dataclass(frozen=True, slots=True)
class Home:
    """A data directory. Nothing in it belongs to a second node."""

    path: Path

    @property
    def configuration(self) -> Path:
        """The options: node/configuration.py."""
        return self.path / "modelex.toml"

    @property
    def keys(self) -> Path:
        """The keystore: keys/keystore.py."""
        return self.path / "keys"

    @property
    def database(self) -> Path:
        """Channels, vouchers, receipts: store/sqlite.py."""
        return self.path / "modelex.sqlite"

    @property
    def models(self) -> Path:
        """Model files and their cards."""
        return self.path / "models"

    @property
    def logs(self) -> Path:
        """Log files, where the configuration asks for one."""
        return self.path / "logs"

    @property
    def receipts(self) -> Path:
        """Receipt files written for others to verify."""
        return self.path / "receipts"

    @property
    def api_keys(self) -> Path:
        """Who may use the gateway: node/gateway/keyfile.py."""
        return self.path / "api-keys.json"

    @property
    def farms(self) -> Path:
        """The farms that are owned or joined: node/farms.py."""
        return self.path / "farms"

    @property
    def batches(self) -> Path:
        """Files and batches of the gateway: node/gateway/batches/cabinet.py."""
        return self.path / "batches"

    @property
    def exists(self) -> bool:
        """Whether `modelex init` has been here."""
        return self.configuration.is_file()

    def create(self) -> None:
        """Make the folders, 0700. ConfigurationError if that fails."""
        try:
            for folder in (self.path, self.models, self.logs, self.receipts):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"cannot make the data directory {self.path}: {error.strerror}",
                hint=f"choose another one with --home or {VARIABLE}",
            ) from error

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the directory for one node; ConfigurationError naming the pid that has it.

        The kernel lets go of it when the process ends, however it ends.
        """
        # Not on Windows, where there is no flock; imported here so that the rest works there.
        import fcntl

        descriptor = self._open_lock()
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                owner = os.pread(descriptor, _PID_BYTES, 0).decode("ascii", "replace").strip()
                raise ConfigurationError(
                    f"the data directory {self.path} is in use by process {owner or '?'}",
                    hint="stop that node, or give this one its own directory with --home",
                ) from error
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
            try:
                yield
            finally:
                # Said aloud, because a forked child may still hold the same open file.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            os.close(descriptor)

    def _open_lock(self) -> int:
        try:
            return os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise ConfigurationError(
                f"cannot use the data directory {self.path}: {error.strerror}",
                hint="`modelex init` makes one; --home chooses another",
            ) from error


def receipt_path(folder: Path, row: ReceiptRow) -> Path:
    """Return the place of a receipt's file."""
    return folder / f"{row.receipt.receipt.job.hex()}.json"


def write_receipt(path: Path, row: ReceiptRow) -> None:
    """Write a receipt file, for `modelex verify`. OSError if that fails."""
    unfinished = path.with_name(path.name + ".partial")
    unfinished.write_bytes(encode_receipt_file(row))
    unfinished.replace(path)  # who looks for it never finds half a file
