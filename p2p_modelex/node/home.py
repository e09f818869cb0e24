"""The data directory of one node: its layout and its lock."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Home:
    """A data directory. Nothing in it belongs to a second node."""

    path: Path

    @property
    def configuration(self) -> Path:
        return self.path / "modelex.toml"

    @property
    def keys(self) -> Path:
        return self.path / "keys"

    @property
    def database(self) -> Path:
        return self.path / "modelex.sqlite"

    @property
    def models(self) -> Path:
        return self.path / "models"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def receipts(self) -> Path:
        return self.path / "receipts"

    @property
    def exists(self) -> bool:
        """Whether `modelex init` has been here."""
        return self.configuration.is_file()

    def create(self) -> None:
        """Make the folders, 0700. ConfigurationError if that fails."""
        raise NotImplementedError

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the directory for one node; ConfigurationError naming the pid that has it."""
        raise NotImplementedError
        yield
