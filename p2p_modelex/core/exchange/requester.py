"""The requester's end of one exchange stream."""

from p2p_modelex.core.effects import Effect, StreamId
from p2p_modelex.core.exchange.ports import Purse
from p2p_modelex.core.exchange.terms import Purchase
from p2p_modelex.core.inputs import Input
from p2p_modelex.ids import PeerId
from p2p_modelex.units import UnixMs


class RequesterExchange:
    """Buys one job on one stream. Ends with exactly one RunFinished or RunFailed.

    Inputs it wants: FrameReceived, StreamEnded (its stream), TimerFired `exchange/<stream>/...`,
    CancelRun (its job). Others are ignored. ShutDown is ignored too: a running job finishes.
    """

    def __init__(self, stream: StreamId, peer: PeerId, purchase: Purchase, purse: Purse) -> None:
        self.stream = stream
        self.peer = peer
        self.job = purchase.job

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen here; the purse is closed by then."""
        raise NotImplementedError

    def start(self, now: UnixMs) -> list[Effect]:
        """Call once, on StreamReady: persists the first voucher and sends Order, or sends Ask."""
        raise NotImplementedError

    def abandon(self, code: str, reason: str, now: UnixMs) -> list[Effect]:
        """Call instead of `start` when there is no stream (StreamFailed): code `dial`."""
        raise NotImplementedError

    def step(self, given: Input, now: UnixMs) -> list[Effect]:
        """Take one input; a peer's breach of a rule resets the stream and penalises it."""
        raise NotImplementedError
