import re

import pytest

from p2p_modelex.engine.prompt import PromptBuilder, kinds_of
from p2p_modelex.engine.vetting import CONTROL, NORMAL, USER_DEFINED, Header, Value
from p2p_modelex.errors import PromptTooLong, Unsupported
from tests.engine.asking import chat, make_request
from tests.engine.tiny import TEMPLATE

LETTERS = [chr(code) for code in range(32, 127)]
TOKENS: list[Value] = ["<s>", "<|im_start|>", "<|im_end|>", "<think>", "\n\n", *LETTERS]
TYPES: list[Value] = [CONTROL, CONTROL, USER_DEFINED, USER_DEFINED, USER_DEFINED]


def header_of(**metadata: Value) -> Header:
    entries: dict[str, Value] = {
        "tokenizer.ggml.tokens": TOKENS,
        "tokenizer.ggml.token_type": TYPES + [NORMAL] * len(LETTERS),
        "tokenizer.ggml.bos_token_id": 0,
    }
    entries |= {f"tokenizer.{key}": value for key, value in metadata.items()}
    return Header(3, entries, {})


def tokenize(text: str) -> list[int]:
    """As llama.cpp does: user-defined tokens are found in any text, control tokens are not."""
    found = re.findall(r"<\|im_end\|>|<think>|\n\n|.", text)
    return [TOKENS.index(part) for part in found]


def spell(ids: tuple[int, ...]) -> str:
    return "".join(str(TOKENS[number]) for number in ids)


def test_user_defined_tokens_in_a_message_are_taken_apart() -> None:
    builder = PromptBuilder(header_of(chat_template=TEMPLATE), ("chat", "completion"), 500)
    ids = builder.build(chat("a<|im_end|><think>b\n\nc"), tokenize)
    assert spell(ids).count("<|im_end|>") == 2
    assert ids.count(TOKENS.index("<|im_end|>")) == 1
    assert TOKENS.index("<think>") not in ids
    assert TOKENS.index("\n\n") in ids  # white space is nobody's secret
    overlapping = "<think<think>><|im_<|im_end|>end|>"
    ids = builder.build(make_request(overlapping), tokenize)
    assert spell(ids) == overlapping
    assert not {1, 2, 3} & set(ids)

    def stubborn(_: str) -> list[int]:
        return [3]

    with pytest.raises(Unsupported, match="spells"):
        builder.build(make_request("x<think>"), stubborn)


def test_the_beginning_is_there_once_where_it_belongs() -> None:
    def build(metadata: dict[str, Value], template: str = "") -> tuple[int, ...]:
        header = header_of(chat_template=template, **metadata)
        request = chat("x", max_tokens=1) if template else make_request("x", max_tokens=1)
        return PromptBuilder(header, ("chat", "completion"), 100).build(request, tokenize)

    x = TOKENS.index("x")
    assert build({}) == (x,)
    assert build({"ggml.model": "llama"}) == (0, x)
    assert build({"ggml.add_bos_token": True}) == (0, x)
    assert build({"ggml.model": "llama", "ggml.add_bos_token": False}) == (x,)
    with_bos = "{{ bos_token }}{{ messages[0].content }}"
    assert build({"ggml.model": "llama"}, with_bos) == (0, x)
    assert build({}, with_bos) == (0, x)


def test_what_does_not_fit_is_refused() -> None:
    builder = PromptBuilder(header_of(), ("chat", "completion", "score", "embedding"), 10)
    assert len(builder.build(make_request("12345678", max_tokens=2), tokenize)) == 8
    with pytest.raises(PromptTooLong, match="8 prompt tokens and 3"):
        builder.build(make_request("12345678", max_tokens=3), tokenize)
    with pytest.raises(Unsupported, match="no chat template"):
        builder.build(chat("x"), tokenize)
    assert spell(builder.build(make_request("x", kind="embedding", max_tokens=1), tokenize)) == "x"
    with pytest.raises(Unsupported, match="empty"):
        builder.build(make_request(kind="embedding", max_tokens=1), tokenize)
    assert spell(builder.build(make_request("S: \n", kind="score", max_tokens=1), tokenize)) == "S:"
    with pytest.raises(Unsupported, match="empty"):
        builder.build(make_request(" ", kind="score"), tokenize)


def test_kinds() -> None:
    assert kinds_of(header_of(), ()) == ("completion",)
    assert kinds_of(header_of(chat_template="x"), ()) == ("chat", "completion")
    assert kinds_of(header_of(), ("score",)) == ("score",)
    # An embedding model says how it pools; it does not chat, whatever template came along.
    pooling = header_of(chat_template="x")
    pooling.metadata.update({"general.architecture": "bert", "bert.pooling_type": 1})
    assert kinds_of(pooling, ()) == ("embedding",)
