"""What is asked over HTTP, in OpenAI's shapes; replies.py has what is answered.

The OpenAPI document is made from the types of both.

Fields that OpenAI knows and that change nothing here (`user`, `metadata`, `store`, ...) are not
listed and so are ignored. Those that would change the answer and that no provider can honour yet
are listed, to be refused when they ask for something (asking.py).
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from p2p_modelex import limits
from p2p_modelex.node.request import TIMEOUT_MAX_S
from p2p_modelex.records.tools import Choice, Tool

CHOICES_MAX = 16
INPUTS_MAX = 256
"""Texts of one request for embeddings, each a job of its own."""

TopLogprobs = Annotated[int, Meta(ge=0, le=limits.TOP_LOGPROBS_MAX)]
Count = Annotated[int, Meta(ge=1, le=limits.COMPLETION_TOKENS_MAX)]


class ContentPart(msgspec.Struct, frozen=True):
    """A part of a message. Only `text` is understood."""

    type: str
    text: str = ""


class FunctionCall(msgspec.Struct, frozen=True):
    """What is called. arguments: JSON, as the model wrote it."""

    name: str
    arguments: str


class ToolCall(msgspec.Struct, frozen=True):
    """A call of a tool."""

    id: str
    function: FunctionCall
    type: Literal["function"] = "function"


class ChatMessage(msgspec.Struct, frozen=True):
    """One turn of a chat. tool_call_id: of the call whose result this is."""

    role: str
    content: str | Annotated[list[ContentPart], Meta(max_length=limits.MESSAGES_MAX)] | None = None
    tool_calls: Annotated[list[ToolCall], Meta(max_length=limits.CALLS_MAX)] | None = None
    tool_call_id: str | None = None
    function_call: Any = None


class StreamOptions(msgspec.Struct, frozen=True):
    """How a stream is to be."""

    include_usage: bool = False


class JsonSchema(msgspec.Struct, frozen=True):
    """A schema by name."""

    name: str = ""
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class ResponseFormat(msgspec.Struct, frozen=True):
    """What the answer must look like."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


Conversation = Annotated[str, Meta(min_length=1, max_length=256)]


class ModelexTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`modelex` of a request: what it may cost and who may serve it.

    ceiling: AI for each choice, as text such as "0.25". only, denied: peer ids. attempts: providers
    to try at most. quote: ask for a signed quote first. weights: SHA-256 of the model's file, in
    hexadecimal digits. kind: `score` asks a model that only scores. section: what the registry must
    say of a provider: any, registered, whitelisted or all. farm: the name or id of the farm to buy
    from. timeout: seconds for the whole answer.
    hedge: whether a late first word is ordered elsewhere too. continue: whether another provider
    may go on where one failed. conversation: a name that keeps requests with one provider, where
    the node's profile does. explain: say how the provider was chosen.
    """

    ceiling: str | None = None
    only: Annotated[list[str], Meta(max_length=64)] = []
    denied: Annotated[list[str], Meta(max_length=64)] = []
    attempts: Annotated[int, Meta(ge=1, le=16)] | None = None
    quote: bool = False
    weights: str | None = None
    kind: Literal["score"] | None = None
    section: Literal["any", "registered", "whitelisted", "all"] | None = None
    farm: Annotated[str, Meta(max_length=64)] = ""
    timeout: Annotated[float, Meta(gt=0, le=TIMEOUT_MAX_S)] | None = None
    hedge: bool | None = None
    may_continue: bool = msgspec.field(default=False, name="continue")
    conversation: Conversation | None = None
    explain: bool = False


class _Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """What both endpoints take. top_k: OpenAI has none, but other servers do; 0 is off."""

    model: str
    n: Annotated[int, Meta(ge=1, le=CHOICES_MAX)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Count | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: (
        str
        | Annotated[
            list[Annotated[str, Meta(min_length=1, max_length=limits.STOP_BYTES)]],
            Meta(max_length=limits.STOPS_MAX),
        ]
        | None
    ) = None
    modelex: ModelexTerms | None = None
    prompt_cache_key: Conversation | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    repetition_penalty: float | None = None
    min_p: float | None = None
    logit_bias: dict[str, float] | None = None


class ChatRequest(_Sampling, frozen=True, kw_only=True):
    """POST /v1/chat/completions."""

    messages: Annotated[list[ChatMessage], Meta(min_length=1, max_length=limits.MESSAGES_MAX)]
    max_completion_tokens: Count | None = None
    response_format: ResponseFormat | None = None
    logprobs: bool | None = None
    top_logprobs: TopLogprobs | None = None
    tools: Annotated[list[Tool], Meta(max_length=limits.TOOLS_MAX)] | None = None
    tool_choice: Literal["auto", "none", "required"] | Choice | None = None
    parallel_tool_calls: bool | None = None
    functions: list[Any] | None = None
    function_call: Any = None
    modalities: list[str] | None = None
    prediction: Any = None
    web_search_options: Any = None
    moderation: Any = None


class CompletionRequest(_Sampling, frozen=True, kw_only=True):
    """POST /v1/completions."""

    prompt: str | list[Any]
    logprobs: TopLogprobs | None = None
    best_of: int | None = None
    echo: bool | None = None
    suffix: str | None = None


class EmbeddingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """POST /v1/embeddings."""

    model: str
    input: str | Annotated[list[Any], Meta(min_length=1, max_length=INPUTS_MAX)]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None
    modelex: ModelexTerms | None = None
