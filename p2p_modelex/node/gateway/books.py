"""Where the gateway keeps what must outlive it: settings in the node's database."""

from collections.abc import Sequence
from typing import Protocol

from p2p_modelex.node.node import Node
from p2p_modelex.records.rows import Row


class Books(Protocol):
    """The part of a node's store, and of its writing, that is used."""

    async def setting(self, name: str) -> bytes | None: ...

    async def keep(self, rows: Sequence[Row]) -> None: ...


class NodeBooks:
    """Books in the node's own store."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def setting(self, name: str) -> bytes | None:
        """Return what was kept last under a name."""
        return await self._node.parts.store.setting(name)

    async def keep(self, rows: Sequence[Row]) -> None:
        """Keep rows; durable when this returns."""
        await self._node.keep(rows)
