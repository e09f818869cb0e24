"""How likely each token was, in OpenAI's two shapes."""

from collections.abc import Sequence

from p2p_modelex.node.gateway.schema import ChatLogprobs, ShownToken, TextLogprobs, TopToken
from p2p_modelex.records.logprobs import Alternative, TokenLogprob


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
