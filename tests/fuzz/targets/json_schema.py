"""JSON schemas of strangers' requests: a grammar of bounded size, or a refusal."""

import json

from p2p_modelex.engine.schema import GRAMMAR_BYTES, build_grammar
from p2p_modelex.errors import Unsupported
from tests.fuzz.choices import Choices

_WORDS = (
    *("type", "properties", "required", "items", "enum", "const", "anyOf", "$ref", "$defs"),
    *("minItems", "maxItems", "minLength", "maxLength", "additionalProperties", "title", "pattern"),
)
_VALUES = (
    *("object", "array", "string", "integer", "number", "boolean", "null", "#", "#/$defs/a", "#/"),
    *(
        "a",
        'a"\\\n',
        "\ud7ff",
        "\ud800",
        0,
        1,
        3,
        1024,
        -1,
        1.5,
        True,
        False,
        None,
        "#/properties/a/items",
    ),
)
_COMMON_BYTES = 2048
"""What is in every grammar, and the rule that the bound was noticed at."""


def run(content: bytes) -> None:
    choices = Choices(content)
    if choices.chance(32):
        text = choices.rest().decode("utf-8", "replace")
    else:
        text = json.dumps(_build(choices, 6))
    try:
        grammar = build_grammar(text)
    except Unsupported:
        return
    assert len(grammar.encode()) <= GRAMMAR_BYTES + _COMMON_BYTES
    names = {line.partition(" ::= ")[0] for line in grammar.splitlines()}
    assert len(names) == grammar.count("\n"), "each rule has one line and a name of its own"


def _build(choices: Choices, depth: int) -> object:
    if depth == 0 or not choices or choices.chance(80):
        return choices.pick(_VALUES)
    if choices.chance(80):
        return [_build(choices, depth - 1) for _ in range(choices.byte() % 4)]
    keys = [
        choices.pick(_WORDS) if choices.chance(220) else "a" for _ in range(1 + choices.byte() % 4)
    ]
    return {key: _build(choices, depth - 1) for key in keys}
