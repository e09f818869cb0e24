"""The store in SQLite."""

from pathlib import Path

from p2p_modelex.ids import NetworkId
from p2p_modelex.store.abc import Store


class SqliteStore(Store):
    """One SQLite file (0600, WAL). Opened `read_only`, it may be another process's."""

    def __init__(
        self, path: Path, *, network: NetworkId | None = None, read_only: bool = False
    ) -> None:
        raise NotImplementedError
