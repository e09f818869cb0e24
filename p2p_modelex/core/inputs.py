"""What a core is told. Inputs are facts; each that answers an effect carries its identifier."""

from dataclasses import dataclass

from p2p_modelex.core.effects import StreamId, TimerId
from p2p_modelex.ids import Address, ChannelId, JobId, PeerId
from p2p_modelex.records.channel import ChannelState
from p2p_modelex.records.job import Request
from p2p_modelex.records.receipt import Finish
from p2p_modelex.records.voucher import SignedVoucher
from p2p_modelex.units import Wei


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """A peer opened a stream to us."""

    stream: StreamId
    peer: PeerId
    protocol: str


@dataclass(frozen=True, slots=True)
class StreamReady:
    """The stream we asked for is open."""

    stream: StreamId


@dataclass(frozen=True, slots=True)
class StreamFailed:
    """The stream we asked for could not be opened."""

    stream: StreamId
    reason: str


@dataclass(frozen=True, slots=True)
class FrameReceived:
    """One frame arrived, within the protocol's frame limit."""

    stream: StreamId
    payload: bytes


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """No more frames will come: closed in good order (`clean`), or broken."""

    stream: StreamId
    clean: bool
    reason: str


@dataclass(frozen=True, slots=True)
class GossipArrived:
    """An accepted gossip message."""

    topic: str
    origin: PeerId
    forwarder: PeerId
    payload: bytes


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """We have a connection to this peer."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class PeerDisconnected:
    """The last connection to this peer is gone."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer's time has come."""

    timer: TimerId


@dataclass(frozen=True, slots=True)
class TokensCounted:
    """Answers CountTokens."""

    job: JobId
    prompt_tokens: int


@dataclass(frozen=True, slots=True)
class EngineStarted:
    """The engine admitted the request."""

    job: JobId
    prompt_tokens: int


@dataclass(frozen=True, slots=True)
class EngineProduced:
    """Output: whole characters, and how many tokens made them (not cumulative)."""

    job: JobId
    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class EngineFinished:
    """The run ended; counts are the engine's own."""

    job: JobId
    finish: Finish
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class EngineFailed:
    """The run or count failed. code: `busy`, `prompt_too_long`, `unsupported` or `engine`."""

    job: JobId
    code: str
    reason: str
    retry_after_ms: int


@dataclass(frozen=True, slots=True)
class ChannelFetched:
    """Answers FetchChannel."""

    channel: ChannelId
    state: ChannelState | None


@dataclass(frozen=True, slots=True)
class ChannelOpened:
    """Answers OpenChannel and TopUpChannel."""

    payee: Address
    state: ChannelState


@dataclass(frozen=True, slots=True)
class ChannelOpenFailed:
    """Answers OpenChannel and TopUpChannel."""

    payee: Address
    reason: str


@dataclass(frozen=True, slots=True)
class Redeemed:
    """Answers Redeem: wei credited for each voucher, in order (0: skipped by the contract)."""

    vouchers: tuple[SignedVoucher, ...]
    credited: tuple[Wei, ...]


@dataclass(frozen=True, slots=True)
class RedeemFailed:
    """Answers Redeem: nothing was credited."""

    vouchers: tuple[SignedVoucher, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class RunRequested:
    """A local caller wants a completion. Answers: RunEvents, ending in RunFinished or RunFailed.

    max_cost: wei for the whole job. max_prompt_price, max_completion_price: wei a token.
    max_window: wei to be ahead of the provider or it of us. only: peers allowed, empty for all.
    attempts: providers to try at most. is_fast: order at advertised prices without a quote.
    """

    job: JobId
    request: Request
    max_cost: Wei
    max_prompt_price: Wei
    max_completion_price: Wei
    max_window: Wei
    only: tuple[PeerId, ...]
    denied: tuple[PeerId, ...]
    attempts: int
    is_fast: bool


@dataclass(frozen=True, slots=True)
class CancelRun:
    """The local caller no longer wants the job."""

    job: JobId


@dataclass(frozen=True, slots=True)
class ShutDown:
    """Refuse new jobs and let running ones finish."""


Input = (
    StreamOpened
    | StreamReady
    | StreamFailed
    | FrameReceived
    | StreamEnded
    | GossipArrived
    | PeerConnected
    | PeerDisconnected
    | TimerFired
    | TokensCounted
    | EngineStarted
    | EngineProduced
    | EngineFinished
    | EngineFailed
    | ChannelFetched
    | ChannelOpened
    | ChannelOpenFailed
    | Redeemed
    | RedeemFailed
    | RunRequested
    | CancelRun
    | ShutDown
)
