"""How likely each token was, in OpenAI's two shapes."""

from collections.abc import Sequence

import msgspec

from p2p_modelex.records.logprobs import Alternative, TokenLogprob


class TopToken(msgspec.Struct, frozen=True):
    """A token that could have stood in a place."""

    token: str
    logprob: float
    bytes: list[int]


class ShownToken(TopToken, frozen=True):
    """A token of the answer, and the likeliest in its place."""

    top_logprobs: list[TopToken]


class ChatLogprobs(msgspec.Struct, frozen=True):
    """How likely the model found an answer's tokens; the provider's word, which no receipt has."""

    content: list[ShownToken]
    refusal: None = None


class TextLogprobs(msgspec.Struct, frozen=True):
    """The same of a continuation. text_offset: where each token begins, in characters."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


def show_chat(told: Sequence[TokenLogprob]) -> ChatLogprobs:
    """Return what a chat's choice, or a piece of its stream, tells."""
    return ChatLogprobs(
        [ShownToken(*_show(one), [TopToken(*_show(other)) for other in one.top]) for one in told]
    )


def show_text(told: Sequence[TokenLogprob], offset: int) -> TextLogprobs:
    """Return what a completion's choice, or a piece of its stream, tells. offset: characters
    before it.
    """
    names = [_name(one) for one in told]
    offsets = [offset]
    for name in names[:-1]:
        offsets.append(offsets[-1] + len(name))
    return TextLogprobs(
        tokens=names,
        token_logprobs=[one.logprob for one in told],
        top_logprobs=[{_name(other): other.logprob for other in one.top} for one in told],
        text_offset=offsets[: len(names)],
    )


def _show(one: TokenLogprob | Alternative) -> tuple[str, float, list[int]]:
    return _name(one), one.logprob, list(one.token)


def _name(one: TokenLogprob | Alternative) -> str:
    return one.token.decode(errors="replace")
