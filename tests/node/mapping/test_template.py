"""Templates and inputs: what fills which place, and what is wrong where."""

import io
from pathlib import Path
from typing import Any

import msgspec
import pytest

from p2p_modelex.errors import BadInput
from p2p_modelex.limits import PROMPT_BYTES
from p2p_modelex.node.mapping.inputs import (
    LINE_BYTES,
    build_prompt,
    build_prompts,
    check_prompts,
    in_batches,
    read_prompts,
)
from p2p_modelex.node.mapping.template import (
    TEMPLATE_BYTES,
    Override,
    Template,
    parse_template,
    read_template,
)
from p2p_modelex.records.job import Message

PLAIN = Template(model="memory", text="Headline: {headline}\nSentiment:", kind="score")


def write(**fields: Any) -> str:
    return msgspec.json.encode(fields).decode()


def parse(**fields: Any) -> Template:
    return parse_template(write(**fields), is_json=True)


def test_each_place_is_filled_with_the_field_of_its_name() -> None:
    template = parse(
        model="m",
        messages=[
            {"role": "system", "content": "Answer as {role}."},
            {"role": "user", "content": '{a} and {a}, {b.c-d}, {"json": 1}, {} {1x} {{a}}'},
        ],
        max_tokens=7,
        stop=["x"],
        schema={"type": "object"},
    )
    assert template.places == ("role", "a", "b.c-d")
    request = template.fill({"role": "{a}", "a": "é", "b.c-d": [1, None], "other": 3})
    assert request.messages == (
        Message("system", "Answer as {a}."),
        Message("user", 'é and é, [1,null], {"json": 1}, {} {1x} {é}'),
    )
    assert (request.max_tokens, request.stop, request.kind) == (7, ("x",), "chat")
    assert request.grammar == '{"type":"object"}'


def test_a_text_is_a_template_as_in_the_prompt_library(tmp_path: Path) -> None:
    file = tmp_path / "rate.txt"
    file.write_text("Rate {headline}:\n")
    template = read_template(file, Override("m", "embedding", 9))
    request = template.fill({"headline": "x"})
    assert (request.text, request.kind, request.max_tokens) == ("Rate x:", "embedding", 1)
    assert read_template(file, Override("m")).fill({"headline": 1}).messages[0].content == "Rate 1:"


def test_templates_are_told_apart() -> None:
    assert PLAIN.digest == msgspec.structs.replace(PLAIN).digest
    assert PLAIN.digest != msgspec.structs.replace(PLAIN, seed=1).digest


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("[]", "Expected `object`"),
        ("{", "truncated"),
        (write(model="m", text="x", colour="red"), "unknown field `colour`"),
        (write(model="m", text="x", max_tokens="4"), r"Expected `int`, got `str` - at `\$.max_"),
        (write(model="m"), "either a text or messages"),
        (write(model="m", text="x", messages=[{"role": "user", "content": "x"}]), "either"),
        (write(text="x"), "names no model"),
        (write(model="m", text="x", max_tokens=0), "max_tokens: WIRE-3: Expected `int` >= 1"),
        (write(model="m", text="x", schema={"a": 1}, grammar="g"), "a schema and a grammar"),
        (write(model="m", kind="score", messages=[{"role": "user", "content": "x"}]), "kind chat"),
        (write(model="m", messages=[{"role": "tool", "content": "x"}]), "Invalid enum value"),
    ],
)
def test_a_bad_template_says_what_is_wrong(content: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=why):
        parse_template(content, is_json=True)
    file = tmp_path / "t.json"
    file.write_text(content)
    with pytest.raises(BadInput, match=f"^{file}: "):
        read_template(file, Override())


def test_a_template_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for content in (b"\xff", b"x" * (TEMPLATE_BYTES + 1)):
        file = tmp_path / "t.txt"
        file.write_bytes(content)
        with pytest.raises(BadInput, match=r"t\.txt"):
            read_template(file, Override("m"))
    with pytest.raises(BadInput, match="cannot read the template"):
        read_template(tmp_path / "none", Override("m"))


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"title": "x"}, "it has no field 'headline'"),
        ({"headline": "x" * PROMPT_BYTES}, "come to more than"),
        ({"headline": "\ud800"}, "out of bounds"),
        ({"headline": "x", "id": 1.5}, "its id is neither"),
        ({"headline": "x", "id": True}, "its id is neither"),
    ],
)
def test_a_bad_input_says_what_is_wrong(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(BadInput, match=why):
        build_prompt(0, fields, PLAIN)


async def test_inputs_may_come_from_anywhere() -> None:
    async def dripping() -> Any:
        for number in range(3):
            yield {"headline": str(number), "id": number}

    given = [{"headline": str(number), "id": number} for number in range(3)]
    some = [prompt async for prompt in build_prompts(given, PLAIN)]
    assert some == [prompt async for prompt in build_prompts(dripping(), PLAIN)]
    assert [prompt.number for prompt in some] == [prompt.name for prompt in some] == [0, 1, 2]
    assert len({prompt.digest for prompt in some}) == 3
    with pytest.raises(BadInput, match=r"^input 1: it has no field 'headline'"):
        _ = [prompt async for prompt in build_prompts([given[0], {}], PLAIN)]


LINES = b'{"headline": "a", "id": "x"}\n\n  \r\n{"headline": "b"}'


async def test_lines_are_read_in_batches() -> None:
    for batch in (1, 2, 64):
        prompts = read_prompts(io.BytesIO(LINES), "in", PLAIN)
        some = [prompt async for prompt in in_batches(prompts, batch)]
        assert [(one.number, one.name) for one in some] == [(0, "x"), (1, None)]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{", "it is no JSON object: Input data was truncated"),
        (b"[1]", "Expected `object`"),
        (b'{"headline": "\xff"}', "it is no JSON object"),
        (b'{"title": 1}', "no field 'headline'"),
        (b"[" * 10_000, "it is no JSON object"),
        (b'"' + b"x" * LINE_BYTES, "more than"),
    ],
)
def test_a_bad_line_is_named(line: bytes, why: str, tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_bytes(b'{"headline": "a"}\n\n' + line)
    with pytest.raises(BadInput, match=rf"^{file}:3: .*{why}"):
        check_prompts(file, PLAIN)


def test_good_lines_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_bytes(LINES)
    assert check_prompts(file, PLAIN) == 2
    with pytest.raises(BadInput, match="cannot read"):
        check_prompts(tmp_path / "none", PLAIN)
