import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_modelex.engine.template import ChatTemplate
from p2p_modelex.errors import ModelRejected, Unsupported
from p2p_modelex.records.job import Message
from tests.engine.tiny import TEMPLATE

SPECIAL = {"<s>": 1, "</s>": 2, "<|im_start|>": 3, "<|im_end|>": 4}


def make(source: str = TEMPLATE) -> ChatTemplate:
    return ChatTemplate(source, SPECIAL, bos="<s>", eos="</s>")


def user(*contents: str) -> tuple[Message, ...]:
    return tuple(Message("user", content) for content in contents)


def test_special_tokens_come_from_the_template() -> None:
    assert make().render(user("hi")) == [3, "user\nhi", 4, "\n", 3, "assistant\n"]
    assert make("{{ bos_token }}{{ messages[0]['content'] }}").render(user("<s>")) == [1, "<s>"]


@given(st.lists(st.text(st.sampled_from("<|im_endstar>/ \n\ufdd0\ufdd1x")), min_size=1, max_size=3))
def test_no_message_makes_a_special_token(contents: list[str]) -> None:
    segments = make().render(user(*contents))
    ids = [segment for segment in segments if isinstance(segment, int)]
    assert ids == [3, 4] * len(contents) + [3]
    rest = "".join(segment for segment in segments if isinstance(segment, str))
    expected = "".join(f"user\n{content.strip()}\n" for content in contents) + "assistant\n"
    assert rest == expected


def test_a_turn_of_the_assistants_is_gone_on_with() -> None:
    turns = (*user("hi"), Message("assistant", "one <|im_end|> two "))
    begun = make().render(turns)
    assert begun[:-1] == [3, "user\nhi", 4, "\n", 3]
    assert begun[-1] == "assistant\none <|im_end|> two "
    for source in ("{{ messages[0].content }}", "{{ messages[-1].content * 2 }}"):
        with pytest.raises(Unsupported, match="cannot go on"):
            make(source).render(turns)


def test_parts_of_a_token_do_not_join_across_messages() -> None:
    template = make("{% for message in messages %}{{ message['content'] }}{% endfor %}")
    assert template.render(user("<|im_", "start|>")) == ["<|im_start|>"]
    assert make("<{{ messages[0].content }}").render(user("s>")) == ["<s>"]


def test_the_sandbox_holds() -> None:
    for source in (
        "{{ messages.append(1) }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ messages[0].content.format_map({}) }}{{ 1 / 0 }}",
    ):
        with pytest.raises(Unsupported, match="chat template failed"):
            make(source).render(user("x"))
    with pytest.raises(Unsupported, match="refuses this: no system"):
        make("{{ raise_exception('no system') }}").render(user("x"))
    with pytest.raises(Unsupported, match="too much"):
        make("{{ messages[0].content * 20 }}").render(user("x" * 50_000))


def test_bad_templates_are_rejected() -> None:
    with pytest.raises(ModelRejected, match="does not compile"):
        make("{% if %}")
    with pytest.raises(ModelRejected, match="over"):
        make("x" * 70_000)


def test_all_marks_taken_is_refused() -> None:
    everything = "".join(chr(code) for code in range(0xFDD0, 0xFDF0))
    with pytest.raises(Unsupported, match="noncharacter"):
        make().render(user(everything))


def test_without_special_tokens_nothing_is_split() -> None:
    template = ChatTemplate("{{ messages[0].content }}", {}, bos="", eos="")
    assert template.render(user("<s>a")) == ["<s>a"]
