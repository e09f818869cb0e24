"""What a core may ask its driver to do. Each says which input answers it, if any.

The driver carries effects out in order; a `Persist` is durable before what follows it is begun.
"""

from typing import NewType

import msgspec

from p2p_modelex.ids import Address, ChannelId, Digest, JobId, PeerId, PublicKey
from p2p_modelex.records.channel import ChannelTerms, Claim
from p2p_modelex.records.job import Request
from p2p_modelex.records.logprobs import TokenLogprob
from p2p_modelex.records.receipt import Finish
from p2p_modelex.records.rows import ReceiptRow, Row
from p2p_modelex.units import Epoch, UnixMs, Wei

StreamId = NewType("StreamId", int)
"""A stream, numbered by whoever opened it: the driver uses odd numbers, the core even ones."""

TimerId = NewType("TimerId", str)
"""A timer's name, such as `exchange/12/idle`; the part before the first `/` names its machine."""


class OpenStream(msgspec.Struct, frozen=True, gc=False):
    """Dial if need be and open a stream. Answer: StreamReady or StreamFailed."""

    stream: StreamId
    peer: PeerId
    addresses: tuple[str, ...]
    protocol: str


class Send(msgspec.Struct, frozen=True, gc=False):
    """Queue one frame on a stream. If that fails, StreamEnded arrives."""

    stream: StreamId
    payload: bytes


class CloseStream(msgspec.Struct, frozen=True, gc=False):
    """Close in good order after what was sent. No answer, and no more inputs about it."""

    stream: StreamId


class ResetStream(msgspec.Struct, frozen=True, gc=False):
    """Drop a stream at once. No answer, and no more inputs about it."""

    stream: StreamId


class Publish(msgspec.Struct, frozen=True, gc=False):
    """Gossip a message. No answer."""

    topic: str
    payload: bytes


class Persist(msgspec.Struct, frozen=True, gc=False):
    """Make rows durable, all or none, before any later effect. A failure stops the node."""

    rows: tuple[Row, ...]


class SetTimer(msgspec.Struct, frozen=True, gc=False):
    """Set or move a timer. Answer: TimerFired, once."""

    timer: TimerId
    at: UnixMs


class CancelTimer(msgspec.Struct, frozen=True, gc=False):
    """Forget a timer, if set."""

    timer: TimerId


class CountTokens(msgspec.Struct, frozen=True, gc=False):
    """Count a prompt's tokens. Answer: TokensCounted or EngineFailed."""

    job: JobId
    request: Request


class Generate(msgspec.Struct, frozen=True, gc=False):
    """Run a request. Answers: EngineStarted, EngineProduced..., EngineFinished or EngineFailed."""

    job: JobId
    request: Request


class StopGenerating(msgspec.Struct, frozen=True, gc=False):
    """Stop a run. Answer: EngineFinished with Finish.CANCELLED, unless it ended already."""

    job: JobId


class FetchChannel(msgspec.Struct, frozen=True, gc=False):
    """Read a channel from the chain. Answer: ChannelFetched (state None if there is none or the
    chain is out of reach). terms: those that make the id `channel`.
    """

    channel: ChannelId
    terms: ChannelTerms


class FetchSplit(msgspec.Struct, frozen=True, gc=False):
    """Ask the chain in which split epoch the token is. Answer: SplitFetched."""


class OpenChannel(msgspec.Struct, frozen=True, gc=False):
    """Open a channel from our account. Answer: ChannelOpened or ChannelOpenFailed.

    salt: names the channel. Asked again with the same one, after a crash or a lost answer, the
    channel that is there already is the answer, and nothing is deposited twice. epoch: of the
    deposit. signed: what was for it before a restart (DepositRow); nothing else may be sent then.
    """

    payee: Address
    deposit: Wei
    salt: Digest
    epoch: Epoch = Epoch(0)
    signed: tuple[bytes, ...] = ()


class TopUpChannel(msgspec.Struct, frozen=True, gc=False):
    """Add to our channel to this payee. Answer: ChannelOpened or ChannelOpenFailed. epoch, signed:
    as of OpenChannel.
    """

    payee: Address
    terms: ChannelTerms
    amount: Wei
    epoch: Epoch = Epoch(0)
    signed: tuple[bytes, ...] = ()


class Redeem(msgspec.Struct, frozen=True, gc=False):
    """Redeem vouchers that pay us in one transaction. Answer: Redeemed or RedeemFailed."""

    claims: tuple[Claim, ...]


class PayOut(msgspec.Struct, frozen=True, gc=False):
    """Have what a split's pause left unpaid paid to `payee`. No answer: the next Redeem does it
    too, and so does the next start.
    """

    payee: Address


class ReadRegistry(msgspec.Struct, frozen=True, gc=False):
    """Read the registry, our peer's entry first, and follow it from then on. Whatever followed it
    before ends. Answers: RegistryRead..., then RegistryChanged...; RegistryLost when that fails. A
    node without a chain gets none.
    """

    peer: PublicKey


class PutAnchor(msgspec.Struct, frozen=True, gc=False):
    """Put a digest into our registry entry for our peer. Answer: AnchorPut or AnchorFailed."""

    peer: PublicKey
    digest: Digest
    sequence: int


class ReadRatings(msgspec.Struct, frozen=True, gc=False):
    """Read what some evaluators say of nodes, each a peer and its operator. Answer: RatingsRead;
    none if the chain is out of reach, or has no ratings.
    """

    nodes: tuple[tuple[PublicKey, Address], ...]
    evaluators: tuple[Address, ...]


class Penalize(msgspec.Struct, frozen=True, gc=False):
    """A peer committed an offence (a name of core/reputation, such as `bad_signature`)."""

    peer: PeerId
    offence: str
    reason: str


# What a local caller of a run sees.


class RunStarted(msgspec.Struct, frozen=True, gc=False):
    """A provider admitted the job; again, where another one is sooner with the text."""

    job: JobId
    peer: PeerId
    prompt_tokens: int


class RunText(msgspec.Struct, frozen=True, gc=False):
    """A piece of output; `tokens` counts all completion tokens so far. logprobs: where the request
    asks for them.
    """

    job: JobId
    text: str
    tokens: int
    logprobs: tuple[TokenLogprob, ...] = ()


class RunFinished(msgspec.Struct, frozen=True, gc=False):
    """The provider's receipt verified; `row` is durable. paid: wei in all, in the split epoch of
    the receipt; an order that was cancelled, and has not ended, counts with the most it may cost.
    cached: prompt tokens that were not read anew, as the provider says.
    """

    job: JobId
    row: ReceiptRow
    finish: Finish
    paid: Wei
    cached: int = 0


class RunFailed(msgspec.Struct, frozen=True, gc=False):
    """The job ended without a receipt at this provider.

    code: a RefusalCode or FailureCode of records/job.py, or `dial`, `stream`, `protocol`,
    `timeout`, `no_provider`, `no_channel`, `over_ceiling`, `cancelled`. paid: wei spent on it,
    in the latest split epoch it was tried in.
    refused: nothing was begun, so nothing is owed.
    """

    job: JobId
    peer: PeerId | None
    code: str
    reason: str
    refused: bool
    retry_after_ms: int
    paid: Wei


class RunRestarted(msgspec.Struct, frozen=True, gc=False):
    """The job is ordered at another provider; text seen before, if any, is void.

    Comes also where no text was seen, so that a caller knows who serves it and why not the last.
    """

    job: JobId
    peer: PeerId
    why: RunFailed


class RunContinued(msgspec.Struct, frozen=True, gc=False):
    """The job is ordered at another provider, which goes on from the text seen before.

    The receipt will be of the rest; its request ends with the text before.
    """

    job: JobId
    peer: PeerId
    why: RunFailed


class RunRouted(msgspec.Struct, frozen=True, gc=False):
    """Whom the job would be ordered from, in this order, and why; told to who asks for it.

    ranked: the first few, with their scores. why: why the first is the first.
    """

    job: JobId
    profile: str
    picker: str
    ranked: tuple[tuple[PeerId, float], ...]
    why: str


RunEvent = RunStarted | RunText | RunFinished | RunFailed | RunRestarted | RunContinued | RunRouted


class Emit(msgspec.Struct, frozen=True, gc=False):
    """Tell the local caller of a run."""

    event: RunEvent


Effect = (
    OpenStream
    | Send
    | CloseStream
    | ResetStream
    | Publish
    | Persist
    | SetTimer
    | CancelTimer
    | CountTokens
    | Generate
    | StopGenerating
    | FetchChannel
    | FetchSplit
    | OpenChannel
    | TopUpChannel
    | Redeem
    | PayOut
    | ReadRegistry
    | PutAnchor
    | ReadRatings
    | Penalize
    | Emit
)
