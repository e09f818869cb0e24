"""Who watches what every node does: the seam between the nodes and what is checked and measured."""

from typing import TYPE_CHECKING, Protocol

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as inp
from p2p_modelex.ids import PeerId
from p2p_modelex.records.rows import Row
from p2p_modelex.simulation.models.gossip import Message

if TYPE_CHECKING:
    from p2p_modelex.simulation.nodes.life import Life


class Observer(Protocol):
    """Who watches every step: checkers and measures."""

    def on_input(self, life: "Life", happened: inp.Input) -> None: ...

    def on_effect(self, life: "Life", effect: fx.Effect, at: int) -> None:
        """An effect, in its order, before it is carried out at a time (microseconds)."""
        ...

    def on_rows(self, life: "Life", rows: tuple[Row, ...]) -> None:
        """Rows that are about to become durable."""
        ...

    def on_gossip(self, life: "Life", message: Message) -> None: ...

    def on_ban(self, life: "Life", peer: PeerId) -> None:
        """A peer has offended too often, and is kept away."""
        ...
