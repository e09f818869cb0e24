"""What travels on an exchange stream, both ways. Rules: protocols/exchange/README.md.

Requester to provider: Ask, Order, Accept, Pay, Cancel.
Provider to requester: Quoted, Started, Chunk, Finished, Refused, Failed.
Tags of requester messages are under 16, of provider messages from 16.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from p2p_modelex import limits
from p2p_modelex.records.advertisement import Kind
from p2p_modelex.records.channel import PayerTerms
from p2p_modelex.records.envelope import Envelope
from p2p_modelex.records.logprobs import TokenLogprob
from p2p_modelex.records.receipt import SignedReceipt
from p2p_modelex.records.types import U16, U32, U64, Bytes16, Bytes20, Bytes32, Name
from p2p_modelex.records.voucher import SignedVoucher
from p2p_modelex.units import Wei

QUOTE_DOMAIN = "quote"

CONTINUE = "continue"
"""The feature of those that go on with a last turn of the assistant's instead of beginning one."""

RefusalCode = Literal[
    "unknown_model",
    "unsupported",
    "prompt_too_long",
    "price_changed",
    "over_ceiling",
    "busy",
    "no_channel",
    "channel_exhausted",
    "lane_in_use",
    "bad_voucher",
    "debt",
    "quote_expired",
    "wrong_epoch",
    "shutting_down",
    "withdrawn",
    "deadline",
]
FailureCode = Literal["engine", "unpaid", "timeout", "shutting_down", "internal"]


class Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """One turn of a chat. content: with calls of tools, or the result of one (records/tools.py)."""

    role: Literal["system", "user", "assistant", "tool"]
    content: Annotated[str, Meta(max_length=limits.PROMPT_BYTES)]


class Request(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """What to run. Exactly one of `text` (completion, score) and `messages` (chat) is non-empty.

    weights: SHA-256 of the model file, or zeros for any. temperature 0 is greedy; top_k 0 and
    top_p 1 are off. seed: makes sampling repeatable on the same engine. grammar: GBNF, a JSON
    schema (what begins with a brace, as no GBNF does), or empty. logprobs: 0 for none, or 1 and how
    many alternatives to tell of for each token. tools: of a chat (records/tools.py), or empty.
    """

    model: Name
    weights: Bytes32
    kind: Kind
    text: Annotated[str, Meta(max_length=limits.PROMPT_BYTES)]
    messages: Annotated[tuple[Message, ...], Meta(max_length=limits.MESSAGES_MAX)]
    max_tokens: Annotated[int, Meta(ge=1, le=limits.COMPLETION_TOKENS_MAX)]
    temperature: Annotated[float, Meta(ge=0.0, le=2.0)]
    top_p: Annotated[float, Meta(gt=0.0, le=1.0)]
    top_k: U32
    seed: U64
    stop: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=limits.STOP_BYTES)], ...],
        Meta(max_length=limits.STOPS_MAX),
    ]
    grammar: Annotated[str, Meta(max_length=limits.GRAMMAR_BYTES)]
    logprobs: Annotated[int, Meta(ge=0, le=1 + limits.TOP_LOGPROBS_MAX)]
    tools: Annotated[str, Meta(max_length=limits.TOOLS_BYTES)]


def is_schema(grammar: str) -> bool:
    """Whether a request's grammar is a JSON schema rather than GBNF."""
    return grammar.lstrip().startswith("{")


def features_of(request: Request) -> tuple[str, ...]:
    """Return the features that an offer must have to serve a request."""
    features = ["logprobs"] if request.logprobs else []
    if request.grammar:
        features.append("json_schema" if is_schema(request.grammar) else "grammar")
    if request.tools:
        features.append("tools")
    if request.messages and request.messages[-1].role == "assistant":
        features.append(CONTINUE)
    return tuple(features)


class Quote(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """The payload of a signed quote: what one job will cost at most, and on which terms.

    request: SHA-256 of the encoded Request. window: wei the provider works ahead of vouchers.
    payee: the provider's own account; what is ordered through a farm is paid to the farm's all the
    same. valid_until: unix ms.
    """

    job: Bytes16
    request: Bytes32
    weights: Bytes32
    prompt_tokens: U32
    max_tokens: U32
    prompt_price: Wei
    completion_price: Wei
    epoch: U16
    window: Wei
    payee: Bytes20
    valid_until: U64


class _Wire(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    pass


class Ask(_Wire, frozen=True, tag=1):
    """Ask for a quote."""

    job: Bytes16
    request: Request


class Order(_Wire, frozen=True, tag=2):
    """The fast path: accept the advertised prices without a quote round trip.

    max_cost: refuse rather than let the whole job cost more. terms: those of the voucher's channel.
    voucher: the lane's current state, raised by what is paid ahead. base: what it covers of
    earlier jobs, cumulative on the lane. deadline_ms: time from now in which the job must start, 0
    for as long as it takes.
    """

    job: Bytes16
    request: Request
    prompt_price: Wei
    completion_price: Wei
    max_cost: Wei
    terms: PayerTerms
    voucher: SignedVoucher
    base: Wei
    deadline_ms: U32


class Accept(_Wire, frozen=True, tag=3):
    """Accept a quote, named by the SHA-256 of its payload bytes. The rest is as in Order."""

    job: Bytes16
    quote: Bytes32
    terms: PayerTerms
    voucher: SignedVoucher
    base: Wei
    deadline_ms: U32


class Pay(_Wire, frozen=True, tag=4):
    """A bigger cumulative voucher."""

    job: Bytes16
    voucher: SignedVoucher


class Cancel(_Wire, frozen=True, tag=5):
    """Stop generating; what was generated is still owed and receipted. Before the job started it
    is withdrawn: Refused is the answer, unless a Started was on its way.
    """

    job: Bytes16


class Quoted(_Wire, frozen=True, tag=16):
    """A signed quote: envelope with domain `quote`."""

    job: Bytes16
    quote: Envelope


class Started(_Wire, frozen=True, tag=17):
    """The job was admitted; the prompt has this many tokens and the window is this much wei."""

    job: Bytes16
    prompt_tokens: U32
    window: Wei


class Chunk(_Wire, frozen=True, tag=18):
    """The index-th piece of output; `tokens` counts all completion tokens up to its end.

    logprobs: of its tokens, where the request asks for them.
    """

    job: Bytes16
    index: U32
    text: Annotated[str, Meta(max_length=limits.CHUNK_TEXT_BYTES)]
    tokens: U32
    logprobs: Annotated[tuple[TokenLogprob, ...], Meta(max_length=limits.CHUNK_LOGPROBS_MAX)]


class Finished(_Wire, frozen=True, tag=19):
    """The receipt; the requester's last voucher follows. cached: prompt tokens that were not read
    anew, as the provider says.
    """

    job: Bytes16
    receipt: SignedReceipt
    cached: U32


class Refused(_Wire, frozen=True, tag=20):
    """Not accepted; nothing is owed. retry_after_ms is 0 where a retry is pointless."""

    job: Bytes16
    code: RefusalCode
    reason: Annotated[str, Meta(max_length=limits.REASON_BYTES)]
    retry_after_ms: U32


class Failed(_Wire, frozen=True, tag=21):
    """An accepted job ended without a receipt; nothing more is owed than was paid."""

    job: Bytes16
    code: FailureCode
    reason: Annotated[str, Meta(max_length=limits.REASON_BYTES)]


RequesterMessage = Ask | Order | Accept | Pay | Cancel
ProviderMessage = Quoted | Started | Chunk | Finished | Refused | Failed


class Probe(_Wire, frozen=True, tag=1):
    """Ask a provider how loaded it is; `nonce` comes back."""

    nonce: U64


class Load(_Wire, frozen=True, tag=2):
    """The answer: requests running and waiting, the median latency to the first token in ms, and
    how much of what came again the engines still had, in basis points.
    """

    nonce: U64
    running: U32
    waiting: U32
    slots: U32
    latency_ms: U32
    cached: Annotated[int, Meta(ge=0, le=10_000)]
