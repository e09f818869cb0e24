"""Answers as bytes: whole ones from their types, streams from templates filled for each piece.

A piece of a stream is three constant byte strings around the text's JSON; encoding a type for each
would cost several times as much.
"""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from p2p_modelex.core.effects import RunRouted
from p2p_modelex.ids import PeerId, format_peer_id
from p2p_modelex.node.gateway.asking import Asked, Shape
from p2p_modelex.node.gateway.refusal import Refusal
from p2p_modelex.node.gateway.replies import (
    AnswerMessage,
    ChatChoice,
    ChatCompletion,
    Embedding,
    EmbeddingList,
    EmbeddingUsage,
    FinishReason,
    ModelexResult,
    PromptDetails,
    TextChoice,
    TextCompletion,
    Usage,
)
from p2p_modelex.node.gateway.runs import Outcome
from p2p_modelex.node.gateway.schema import CHOICES_MAX
from p2p_modelex.node.gateway.splice import Logprobs
from p2p_modelex.node.gateway.telling import ChatLogprobs, TextLogprobs, show_chat, show_text
from p2p_modelex.node.gateway.tooling import show_calls, show_part
from p2p_modelex.records.embedding import decode_vector
from p2p_modelex.records.receipt import Finish
from p2p_modelex.records.tools import CallReader, Part
from p2p_modelex.units import Wei, format_ai, rescale

DONE = b"data: [DONE]\n\n"
_PREFIXES: dict[Shape, str] = {
    "chat": "chatcmpl-",
    "text": "cmpl-",
    "float": "embd-",
    "base64": "embd-",
}
_json = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Answered:
    """A choice that was answered. paid: wei, with what failed attempts cost. route: see schema.
    routed: how its provider was chosen, where that was asked for.
    """

    index: int
    text: str
    outcome: Outcome
    provider: PeerId
    paid: Wei
    route: tuple[PeerId, ...]
    logprobs: Logprobs = ()
    routed: RunRouted | None = None


class Rendering:
    """The bytes of one request's answer."""

    def __init__(self, asked: Asked) -> None:
        self._shape = asked.shape
        self._is_chat = is_chat = asked.shape == "chat"
        self.id = _PREFIXES[asked.shape] + secrets.token_hex(12)
        self._created = int(time.time())
        self._model = asked.requests[0].model
        self._wants_usage = asked.wants_usage
        name = "chat.completion.chunk" if is_chat else "text_completion"
        head = {"id": self.id, "object": name, "created": self._created, "model": self._model}
        self._head = b"data: " + _json.encode(head)[:-1]
        usage = b',"usage":null' if asked.wants_usage else b""
        self._end = b',"finish_reason":null}]' + usage + b"}\n\n"
        end = b',"logprobs":null' + self._end
        self._before = b',"delta":{"content":' if is_chat else b',"text":'
        self._close = b"}" if is_chat else b""
        self._after = self._close + end
        self._role = b',"delta":{"role":"assistant","content":"","refusal":null}' + end
        # Characters told of, by choice: a text's tokens are placed in it.
        self._told = [0] * len(asked.requests)
        self._has_tools = bool(asked.requests[0].tools)
        self._calls = [CallReader() for _ in asked.requests]

    def show_first(self, index: int) -> bytes:
        """What a choice's stream begins with."""
        if not self._is_chat:
            return b""
        return b'%b,"choices":[{"index":%d%b' % (self._head, index, self._role)

    def show_text(self, index: int, text: str, told: Logprobs = ()) -> bytes:
        """A piece of a choice's text."""
        if self._has_tools:
            return self._show_parts(index, self._calls[index].feed(text), told)
        shown = _json.encode(text)
        after = self._tell(index, told) if told else self._after
        parts = self._head, index, self._before, shown, after
        return b'%b,"choices":[{"index":%d%b%b%b' % parts

    def _show_parts(self, index: int, parts: Sequence[Part], told: Logprobs) -> bytes:
        """The events of what was said and called; all that is told goes with the first."""
        shown = bytearray()
        for part in parts or [Part(-1, "")] if told else parts:
            after = self._tell(index, told)[1:] if told else self._after[1:]
            delta = _json.encode(show_part(part))
            shown += b'%b,"choices":[{"index":%d,"delta":%b%b' % (self._head, index, delta, after)
            told = ()
        return bytes(shown)

    def _tell(self, index: int, told: Logprobs) -> bytes:
        shown: ChatLogprobs | TextLogprobs = show_chat(told)
        if not self._is_chat:
            shown = show_text(told, self._told[index])
            self._told[index] += sum(map(len, shown.tokens))
        return b'%b,"logprobs":%b%b' % (self._close, _json.encode(shown), self._end)

    def show_end(self, choices: Sequence[Answered]) -> bytes:
        """What a stream ends with."""
        events = [self._show_finish(choice) for choice in choices]
        if self._wants_usage:
            usage = _json.encode(_count(choices))
            events.append(b'%b,"choices":[],"usage":%b}\n\n' % (self._head, usage))
        return b"".join([*events, DONE])

    def _show_finish(self, choice: Answered) -> bytes:
        nothing: dict[str, object] = {"delta": {}} if self._is_chat else {"text": ""}
        last = {
            "index": choice.index,
            **nothing,
            "logprobs": None,
            "finish_reason": _finish_of(choice.outcome),
            "modelex": _show_result(choice),
        }
        mark = _json.encode(_fingerprint(choices=[choice]))
        usage = b',"usage":null' if self._wants_usage else b""
        parts = self._head, mark, _json.encode(last), usage
        return b'%b,"system_fingerprint":%b,"choices":[%b]%b}\n\n' % parts

    def show_whole(self, choices: Sequence[Answered]) -> bytes:
        """The whole answer."""
        if self._shape in ("float", "base64"):
            vectors = [_show_vector(choice, self._shape) for choice in choices]
            counted = _count(choices)
            usage = EmbeddingUsage(counted.prompt_tokens, counted.total_tokens, counted.cost)
            return _json.encode(EmbeddingList(self._model, vectors, usage))
        common = (self._created, self._model, _fingerprint(choices))
        if self._is_chat:
            chats = [
                ChatChoice(
                    choice.index,
                    self._show_message(choice.text),
                    _finish_of(choice.outcome),
                    _show_result(choice),
                    show_chat(choice.logprobs) if choice.logprobs else None,
                )
                for choice in choices
            ]
            return _json.encode(
                ChatCompletion(self.id, "chat.completion", *common, chats, _count(choices))
            )
        texts = [
            TextChoice(
                choice.index,
                choice.text,
                _finish_of(choice.outcome),
                _show_result(choice),
                show_text(choice.logprobs, 0) if choice.logprobs else None,
            )
            for choice in choices
        ]
        return _json.encode(
            TextCompletion(self.id, "text_completion", *common, texts, _count(choices))
        )

    def _show_message(self, text: str) -> AnswerMessage:
        if not self._has_tools:
            return AnswerMessage("assistant", text)
        content, calls = show_calls(text)
        return AnswerMessage("assistant", content, tool_calls=calls)


def show_error(refusal: Refusal) -> bytes:
    """An error in a stream that has begun: what OpenAI's libraries raise in mid-stream."""
    return b"data: " + refusal.body + b"\n\n"


def build_headers(choices: Sequence[Answered]) -> list[tuple[str, str]]:
    """The `x-modelex-` headers of a whole answer; of many texts only what they cost together, since
    heads are bounded.
    """
    headers = [
        ("x-modelex-price-wei", str(_sum_price(choices))),
        ("x-modelex-epoch", str(_epoch_of(choices))),
    ]
    if len(choices) > CHOICES_MAX:
        return headers
    providers = (format_peer_id(choice.provider) for choice in choices)
    route = (format_peer_id(peer) for choice in choices for peer in choice.route)
    receipts = [receipt for choice in choices if (receipt := _receipt_of(choice))]
    headers += [
        ("x-modelex-provider", ", ".join(providers)),
        ("x-modelex-route", ", ".join(route)),
        *show_decision(choices[0].routed),
    ]
    return [*headers, ("x-modelex-receipt", ", ".join(receipts))] if receipts else headers


def show_decision(routed: RunRouted | None) -> list[tuple[str, str]]:
    """Return the header that says who was compared, with which scores, and why the first won."""
    if routed is None:
        return []
    ranked = " ".join(f"{format_peer_id(peer)}={score:.3f}" for peer, score in routed.ranked)
    said = f"{routed.profile}/{routed.picker}; {ranked}; {routed.why}"
    return [("x-modelex-decision", said.encode("ascii", "replace").decode())]


def _show_vector(choice: Answered, shape: Shape) -> Embedding:
    # A provider's text is base64 already.
    vector = choice.text if shape == "base64" else decode_vector(choice.text)
    return Embedding(choice.index, vector, _show_result(choice))


def _show_result(choice: Answered) -> ModelexResult:
    return ModelexResult(
        provider=format_peer_id(choice.provider),
        receipt=_receipt_of(choice),
        price_wei=str(int(choice.outcome.price)),
        paid_wei=str(int(choice.paid)),
        epoch=choice.outcome.epoch,
        weights=choice.outcome.weights.hex(),
        route=[format_peer_id(peer) for peer in choice.route],
    )


def _receipt_of(choice: Answered) -> str | None:
    row = choice.outcome.row
    return None if row is None else row.receipt.receipt.job.hex()


def _finish_of(outcome: Outcome) -> FinishReason:
    match outcome.finish:
        case Finish.LENGTH:
            return "length"
        case Finish.TOOL_CALLS:
            return "tool_calls"
        case _:
            return "stop"


def _fingerprint(choices: Sequence[Answered]) -> str:
    return "fp_" + choices[0].outcome.weights.hex()[:12]


def _epoch_of(choices: Sequence[Answered]) -> int:
    return max(choice.outcome.epoch for choice in choices)


def _sum_price(choices: Sequence[Answered]) -> int:
    epoch = _epoch_of(choices)
    return sum(rescale(one.outcome.price, one.outcome.epoch, epoch) for one in choices)


def _count(choices: Sequence[Answered]) -> Usage:
    """OpenAI counts the prompt once for all choices; here each provider read it and was paid."""
    prompt = sum(choice.outcome.prompt_tokens for choice in choices)
    completion = sum(choice.outcome.completion_tokens for choice in choices)
    cost = format_ai(_sum_price(choices)).removesuffix(" AI")
    cached = sum(choice.outcome.cached_tokens for choice in choices)
    return Usage(prompt, completion, prompt + completion, cost, PromptDetails(cached))
