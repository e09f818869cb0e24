"""Probing: fresh load from candidates, and our own load for those who ask. Rules PRB-n."""

from collections.abc import Callable, Sequence
from typing import Protocol

from p2p_modelex.core.effects import Effect, StreamId
from p2p_modelex.core.inputs import Input
from p2p_modelex.ids import PeerId
from p2p_modelex.records.job import Load
from p2p_modelex.units import UnixMs

PROBE_PROTOCOL = "/modelex/probe/1"


class ProbeMachine:
    """Asks loads and answers for ours. Timers begin with `probe/`."""

    def __init__(
        self,
        own_load: Callable[[], Load],
        next_stream: Callable[[], StreamId],
        book: "ProbeBook",
    ) -> None:
        """`own_load` gives our numbers now; its nonce is replaced. A node that sells nothing
        gives slots 0.
        """
        raise NotImplementedError

    def owns(self, stream: StreamId) -> bool:
        """Whether inputs about this stream belong here."""
        raise NotImplementedError

    def ask(
        self, targets: Sequence[tuple[PeerId, tuple[str, ...]]], now: UnixMs
    ) -> tuple[Effect, ...]:
        """Probe peers (with their addresses) whose load is not fresh and not being asked."""
        raise NotImplementedError

    def is_waiting(self, peers: Sequence[PeerId]) -> bool:
        """Whether an answer of any of these is still to come (it comes or times out in 1 s)."""
        raise NotImplementedError

    def step(self, input_: Input, now: UnixMs) -> tuple[Effect, ...]:
        """Take one input."""
        raise NotImplementedError


class ProbeBook(Protocol):
    """What is known of loads: `get(peer, now) -> Load | None`, None once stale."""
