"""What a core is told. Inputs are facts; each that answers an effect carries its identifier."""

import msgspec

from p2p_modelex.core.effects import StreamId, TimerId
from p2p_modelex.ids import Address, ChannelId, JobId, PeerId, PublicKey
from p2p_modelex.records.channel import ChannelState, Claim
from p2p_modelex.records.job import Request
from p2p_modelex.records.logprobs import TokenLogprob
from p2p_modelex.records.receipt import Finish
from p2p_modelex.records.registry import UNSUSPENDED, RegistryEntry, RegistryEvent, Standing
from p2p_modelex.records.split import SplitState
from p2p_modelex.units import Epoch, Wei


class StreamOpened(msgspec.Struct, frozen=True, gc=False):
    """A peer opened a stream to us."""

    stream: StreamId
    peer: PeerId
    protocol: str


class StreamReady(msgspec.Struct, frozen=True, gc=False):
    """The stream we asked for is open."""

    stream: StreamId


class StreamFailed(msgspec.Struct, frozen=True, gc=False):
    """The stream we asked for could not be opened."""

    stream: StreamId
    reason: str


class FrameReceived(msgspec.Struct, frozen=True, gc=False):
    """One frame arrived, within the protocol's frame limit."""

    stream: StreamId
    payload: bytes


class StreamEnded(msgspec.Struct, frozen=True, gc=False):
    """No more frames will come: closed in good order (`clean`), or broken."""

    stream: StreamId
    clean: bool
    reason: str


class GossipArrived(msgspec.Struct, frozen=True, gc=False):
    """An accepted gossip message."""

    topic: str
    origin: PeerId
    forwarder: PeerId
    payload: bytes


class PeerConnected(msgspec.Struct, frozen=True, gc=False):
    """We have a connection to this peer."""

    peer: PeerId


class PeerDisconnected(msgspec.Struct, frozen=True, gc=False):
    """The last connection to this peer is gone."""

    peer: PeerId


class TimerFired(msgspec.Struct, frozen=True, gc=False):
    """A timer's time has come."""

    timer: TimerId


class TokensCounted(msgspec.Struct, frozen=True, gc=False):
    """Answers CountTokens."""

    job: JobId
    prompt_tokens: int


class EngineStarted(msgspec.Struct, frozen=True, gc=False):
    """The engine admitted the request."""

    job: JobId
    prompt_tokens: int


class EngineProduced(msgspec.Struct, frozen=True, gc=False):
    """Output: whole characters, how many tokens made them (not cumulative), and how likely the
    model found these, where the request asks.
    """

    job: JobId
    text: str
    tokens: int
    logprobs: tuple[TokenLogprob, ...] = ()


class EngineFinished(msgspec.Struct, frozen=True, gc=False):
    """The run ended; counts are the engine's own. cached_tokens: of the prompt, those that were in
    the engine's cache.
    """

    job: JobId
    finish: Finish
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0


class EngineFailed(msgspec.Struct, frozen=True, gc=False):
    """The run or count failed. code: `busy`, `prompt_too_long`, `unsupported` or `engine`."""

    job: JobId
    code: str
    reason: str
    retry_after_ms: int


class ChannelFetched(msgspec.Struct, frozen=True, gc=False):
    """Answers FetchChannel."""

    channel: ChannelId
    state: ChannelState | None


class SplitFetched(msgspec.Struct, frozen=True, gc=False):
    """Answers FetchSplit, with None if the chain is out of reach. Also told before a deposit fails
    because transfers are paused.
    """

    split: SplitState | None


class ChannelOpened(msgspec.Struct, frozen=True, gc=False):
    """Answers OpenChannel and TopUpChannel."""

    payee: Address
    state: ChannelState


class ChannelOpenFailed(msgspec.Struct, frozen=True, gc=False):
    """Answers OpenChannel and TopUpChannel. is_pending: the deposit may still be made, and another
    answer comes once that is known.
    """

    payee: Address
    reason: str
    is_pending: bool = False


class Redeemed(msgspec.Struct, frozen=True, gc=False):
    """Answers Redeem: wei credited for each voucher, in order (0: skipped by the contract)."""

    claims: tuple[Claim, ...]
    credited: tuple[Wei, ...]


class RedeemFailed(msgspec.Struct, frozen=True, gc=False):
    """Answers Redeem: nothing was credited."""

    claims: tuple[Claim, ...]
    reason: str


class RegistryRead(msgspec.Struct, frozen=True, gc=False):
    """Answers ReadRegistry: entries as of one block. The first page begins, the last one ends."""

    entries: tuple[RegistryEntry, ...]
    is_first: bool
    is_last: bool


class RegistryChanged(msgspec.Struct, frozen=True, gc=False):
    """Answers ReadRegistry, after the last page: what happened since, or was undone by a reorg."""

    event: RegistryEvent


class RegistryLost(msgspec.Struct, frozen=True, gc=False):
    """Answers ReadRegistry: the chain is out of reach, and nothing more will come."""


class AnchorPut(msgspec.Struct, frozen=True, gc=False):
    """Answers PutAnchor: the transaction was mined, or the digest was there already."""


class AnchorFailed(msgspec.Struct, frozen=True, gc=False):
    """Answers PutAnchor: it was refused, reverted, or not mined in time."""


class RatingsRead(msgspec.Struct, frozen=True, gc=False):
    """Answers ReadRatings: hundredths of a per cent, None for who has no rating."""

    ratings: tuple[tuple[PublicKey, int | None], ...]


class RunRequested(msgspec.Struct, frozen=True, gc=False):
    """A local caller wants a completion. Answers: RunEvents, ending in RunFinished or RunFailed.

    max_cost: wei for the whole job. max_prompt_price, max_completion_price: wei a token.
    max_window: wei to be ahead of the provider or it of us. only: peers allowed, empty for all.
    attempts: providers to try at most. is_fast: order at advertised prices without a quote.
    epoch: the split epoch of the amounts, which count twice in the next. standings: what the
    registry may make of a provider. farm: the name or id of the farm to buy from, empty for
    anybody. hedge: whether a late first text is ordered elsewhere too, None for what the profile
    says. deadline_ms: time from now in which the answer is wanted, 0 for as long as it takes.
    may_continue: whether another provider may go on from the text of one that failed.
    conversation: what keeps requests together, empty for how they begin. explains: whether the
    caller wants to hear RunRouted.
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
    epoch: Epoch = Epoch(0)
    standings: tuple[Standing, ...] = UNSUSPENDED
    farm: str = ""
    hedge: bool | None = None
    deadline_ms: int = 0
    may_continue: bool = False
    conversation: str = ""
    explains: bool = False


class CancelRun(msgspec.Struct, frozen=True, gc=False):
    """The local caller no longer wants the job."""

    job: JobId


class ShutDown(msgspec.Struct, frozen=True, gc=False):
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
    | SplitFetched
    | ChannelOpened
    | ChannelOpenFailed
    | Redeemed
    | RedeemFailed
    | RegistryRead
    | RegistryChanged
    | RegistryLost
    | AnchorPut
    | AnchorFailed
    | RatingsRead
    | RunRequested
    | CancelRun
    | ShutDown
)
