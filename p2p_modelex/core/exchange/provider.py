"""The provider's end of one exchange stream."""

from p2p_modelex.core.effects import Effect, StreamId
from p2p_modelex.core.exchange.ports import Till
from p2p_modelex.core.exchange.terms import OpenJobs, Seller
from p2p_modelex.core.inputs import Input
from p2p_modelex.ids import JobId, PeerId
from p2p_modelex.units import UnixMs


class ProviderExchange:
    """Serves one job on one stream. Made on StreamOpened, driven by `step`, dropped when `is_over`.

    Inputs it wants: FrameReceived, StreamEnded (its stream), TimerFired `exchange/<stream>/...`,
    TokensCounted, EngineStarted, EngineProduced, EngineFinished, EngineFailed (its `job`),
    ChannelFetched (any; ignored unless awaited), ShutDown (also right after making it, if the node
    is shutting down). Others are ignored.
    """

    def __init__(
        self, stream: StreamId, peer: PeerId, seller: Seller, till: Till, jobs: OpenJobs
    ) -> None:
        self.stream = stream
        self.peer = peer
        self.job: JobId | None = None
        """The job this stream is about, once its first message came."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen here; the node may forget this exchange."""
        raise NotImplementedError

    def start(self, now: UnixMs) -> list[Effect]:
        """Call once, on StreamOpened: sets the first timer."""
        raise NotImplementedError

    def step(self, given: Input, now: UnixMs) -> list[Effect]:
        """Take one input; a peer's breach of a rule resets the stream and penalises it."""
        raise NotImplementedError
