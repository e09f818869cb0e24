"""What is answered over HTTP, in OpenAI's shapes; schema.py has what is asked."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from p2p_modelex.node.gateway.schema import ToolCall
from p2p_modelex.node.gateway.telling import ChatLogprobs, TextLogprobs


class PromptDetails(msgspec.Struct, frozen=True):
    """cached_tokens: those that were not read anew, by the providers' word; they cost the same."""

    cached_tokens: int


class Usage(msgspec.Struct, frozen=True):
    """Tokens by the providers' own tokenizers. cost: AI, exactly, as text."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cost: str
    prompt_tokens_details: PromptDetails


class EmbeddingUsage(msgspec.Struct, frozen=True):
    """Tokens by the providers' own tokenizers. cost: as in Usage."""

    prompt_tokens: int
    total_tokens: int
    cost: str


class ModelexResult(msgspec.Struct, frozen=True):
    """`modelex` of a choice: who served it and for how much.

    receipt: the job's id, whose receipt `modelex verify` checks; null where the node asked its own
    engine. price_wei: 10^-18 AI, of the token's split epoch `epoch`. paid_wei: with what failed
    attempts cost. route: the peers tried, the last one served.
    """

    provider: str
    receipt: str | None
    price_wei: str
    paid_wei: str
    epoch: int
    weights: str
    route: list[str]


FinishReason = Literal["stop", "length", "tool_calls"]


class AnswerMessage(msgspec.Struct, frozen=True):
    """What the model said."""

    role: str
    content: str | None
    refusal: None = None
    tool_calls: list[ToolCall] | msgspec.UnsetType = msgspec.UNSET


class ChatChoice(msgspec.Struct, frozen=True):
    """One answer."""

    index: int
    message: AnswerMessage
    finish_reason: FinishReason
    modelex: ModelexResult
    logprobs: ChatLogprobs | None = None


class ChatCompletion(msgspec.Struct, frozen=True):
    """Answers ChatRequest."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: Usage


class TextChoice(msgspec.Struct, frozen=True):
    """One continuation."""

    index: int
    text: str
    finish_reason: FinishReason
    modelex: ModelexResult
    logprobs: TextLogprobs | None = None


class TextCompletion(msgspec.Struct, frozen=True):
    """Answers CompletionRequest."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[TextChoice]
    usage: Usage


class Embedding(msgspec.Struct, frozen=True):
    """One text's vector. embedding: numbers, or base64 of 32-bit floats, little-endian."""

    index: int
    embedding: Sequence[float] | str
    modelex: ModelexResult
    object: Literal["embedding"] = "embedding"


class EmbeddingList(msgspec.Struct, frozen=True):
    """Answers EmbeddingRequest."""

    model: str
    data: list[Embedding]
    usage: EmbeddingUsage
    object: Literal["list"] = "list"


class PriceRange(msgspec.Struct, frozen=True):
    """AI for 1,000 tokens, as text: the cheapest and the dearest offer."""

    lowest: str
    highest: str


class ModelexModel(msgspec.Struct, frozen=True):
    """What the mesh offers of a model. context_length, max_tokens: the most that anybody does."""

    providers: int
    kinds: list[str]
    features: list[str]
    context_length: int
    max_tokens: int
    prompt_price: PriceRange
    completion_price: PriceRange
    weights: list[str]


class Model(msgspec.Struct, frozen=True):
    """One model of the mesh. created: when the newest of its offers was made, unix seconds."""

    id: str
    created: int
    modelex: ModelexModel
    object: Literal["model"] = "model"
    owned_by: str = "modelex"


class ModelList(msgspec.Struct, frozen=True):
    """GET /v1/models."""

    data: list[Model]
    object: Literal["list"] = "list"


class Health(msgspec.Struct, frozen=True):
    """GET /health. providers: peers that sell something. version: of this program."""

    status: Literal["ok"]
    version: str
    providers: int
