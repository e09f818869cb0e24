"""JSON schemas as grammars: a small matcher of GBNF checks what they make, without a model."""

import json
import re
from typing import Any

import pytest

from p2p_modelex.engine.schema import build_grammar
from p2p_modelex.errors import Unsupported


def rule_of(grammar: str, name: str) -> str:
    found = re.search(rf"^{name} ::= (.*)$", grammar, re.MULTILINE)
    assert found, name
    return found[1]


def matches(schema: Any, text: str) -> bool:
    """Whether the grammar of a schema makes exactly this text."""
    grammar = build_grammar(json.dumps(schema))
    rules = dict(line.split(" ::= ", 1) for line in grammar.splitlines())
    return any(rest == "" for rest in _expand(rules, _tokens("root"), text, 0))


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\[(?:[^\]\\]|\\.)*\]|[A-Za-z0-9]+|\{\d*,?\d*\}|[()|*+?]')


def _tokens(body: str) -> list[str]:
    return _TOKEN.findall(body)


def _expand(rules: dict[str, str], tokens: list[str], text: str, depth: int) -> Any:
    """Yield what is left of `text` in each way that the tokens match its beginning."""
    if depth > 200:
        return
    for option in _split(tokens):
        yield from _sequence(rules, option, text, depth)


def _split(tokens: list[str]) -> list[list[str]]:
    options: list[list[str]] = [[]]
    level = 0
    for token in tokens:
        level += (token == "(") - (token == ")")
        if token == "|" and level == 0:
            options.append([])
        else:
            options[-1].append(token)
    return options


def _sequence(rules: dict[str, str], tokens: list[str], text: str, depth: int) -> Any:
    if not tokens:
        yield text
        return
    size = _size_of_first(tokens)
    item, rest = tokens[:size], tokens[size:]
    least, most = 1, 1
    if rest and (rest[0] in "*+?" or rest[0].startswith("{")):
        least, most = _times(rest[0])
        rest = rest[1:]
    yield from _repeated(rules, item, rest, text, least, most, depth)


def _size_of_first(tokens: list[str]) -> int:
    """Return how many tokens the first item has: one, or all of a group."""
    level = 0
    for size, token in enumerate(tokens, 1):
        level += (token == "(") - (token == ")")
        if level == 0:
            return size
    raise AssertionError("a group that is not closed")


def _times(mark: str) -> tuple[int, int]:
    if mark in "*+?":
        return {"*": (0, 99), "+": (1, 99), "?": (0, 1)}[mark]
    low, comma, high = mark[1:-1].partition(",")
    return int(low), int(high) if high else 99 if comma else int(low)


def _repeated(
    rules: dict[str, str],
    item: list[str],
    rest: list[str],
    text: str,
    least: int,
    most: int,
    depth: int,
) -> Any:
    if least <= 0:
        yield from _sequence(rules, rest, text, depth + 1)
    if most > 0:
        for left in _single(rules, item, text, depth + 1):
            if left != text:
                yield from _repeated(rules, item, rest, left, least - 1, most - 1, depth + 1)
            elif least > 0:
                yield from _sequence(rules, rest, left, depth + 1)


def _single(rules: dict[str, str], item: list[str], text: str, depth: int) -> Any:
    head = item[0]
    if head == "(":
        yield from _expand(rules, item[1:-1], text, depth)
    elif head.startswith('"'):
        literal = re.sub(r"\\(.)", r"\1", head[1:-1])
        if text.startswith(literal):
            yield text[len(literal) :]
    elif head.startswith("["):
        if text and re.match(head, text[0]):
            yield text[1:]
    else:
        yield from _expand(rules, _tokens(rules[head]), text, depth)


PERSON = {
    "type": "object",
    "title": "Person",
    "properties": {
        "name": {"type": "string", "maxLength": 4},
        "age": {"type": "integer"},
        "mail": {"type": ["string", "null"]},
    },
    "required": ["name"],
    "additionalProperties": False,
}
LIST = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {"next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
            "required": ["next"],
        }
    },
    "$ref": "#/$defs/node",
}


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        (
            PERSON,
            ['{"name":"Ann"}', '{"name":"a","age":-7}', '{ "name":"","mail":null }'],
            ["{}", '{"age":1}', '{"name":"Annie"}', '{"name":"a","x":1}', '{"age":1,"name":"a"}'],
        ),
        (LIST, ['{"next":null}', '{"next":{"next":null}}'], ["null", '{"next":1}']),
        (
            {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 2},
            ["[true]", "[true,false]"],
            ["[]", "[1]", "[true,true,true]"],
        ),
        ({"type": "array", "maxItems": 0}, ["[]", "[ ]"], ["[1]"]),
        ({"type": "array", "items": {"const": 1}}, ["[]", "[1,1,1]"], ["[2]"]),
        ({"enum": ['a"b\\', 2, None]}, ['"a\\"b\\\\"', "2", "null"], ['"a"', "3"]),
        ({"type": "string", "minLength": 2}, ['"ab"', '"\\n\\u00e9"'], ['"a"', '"a\nb"', "ab"]),
        ({"type": ["string", "null"], "maxLength": 1}, ['"a"', "null"], ['"ab"', "1"]),
        ({"type": "number"}, ["0", "-1.5e+3", "12"], ["01", "1.", "+1", '"1"']),
        ({"type": "object", "additionalProperties": {"const": 1}}, ["{}", '{"a":1}'], ['{"a":2}']),
        ({"type": "object", "additionalProperties": False}, ["{}"], ['{"a":1}']),
        ({}, ["[1,{}]", '{"a":[null]}'], ["nul", "[1"]),
        ({"title": "Anything", "readOnly": True, "$defs": {}}, ["1", "[{}]"], ["x"]),
        (
            {"type": "object", "properties": {"a": True, "b": {"const": 2}}, "required": ["b"]},
            ['{"a":[],"b":2}', '{"b":2}'],
            ['{"a":1}', '{"a":1,}', '{,"b":2}'],
        ),
    ],
)
def test_a_grammar_makes_what_its_schema_allows(
    schema: Any, good: list[str], bad: list[str]
) -> None:
    assert [text for text in good if not matches(schema, text)] == []
    assert [text for text in bad if matches(schema, text)] == []


DEEP = {"type": "array", "items": {"type": "array"}}
for _ in range(40):
    DEEP = {"type": "array", "items": DEEP}


MANY: dict[str, Any] = {}
for _ in range(11):
    MANY = {"type": ["array"] * 100, "items": MANY}


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "brackets"),
        ('{"enum": [NaN]}', "not JSON"),
        ('{"enum": ["\\ud800"]}', "not JSON"),
        ('{"type": [["null"], "null"]}', "type that is known"),
        ('{"type": "string", "pattern": "a+"}', "'pattern'"),
        ('{"type": "integer", "minimum": 3}', "'minimum'"),
        ('{"type": "string", "items": {}}', "'items'"),
        ('{"type": ["string", "null"], "format": "date"}', "'format'"),
        ('{"anyOf": [{}], "type": "string"}', "'type'"),
        ('{"type": "wat"}', "type that is known"),
        ('{"type": []}', "empty"),
        ('{"properties": {}}', "type that is known"),
        ('{"enum": []}', "empty"),
        ('{"anyOf": {}}', "no list"),
        ('{"$ref": "http://example.org/x"}', "another document"),
        ('{"$ref": "#/$defs/none"}', "nothing"),
        ('{"type": "array", "items": false}', "cannot be false"),
        ('{"type": "array", "minItems": 2, "maxItems": 1}', "under minItems"),
        ('{"type": "array", "minItems": -1}', "whole numbers"),
        ('{"type": "string", "maxLength": 5000}', "whole numbers"),
        ('{"type": "string", "minLength": null}', "whole numbers"),
        ('{"type": "string", "maxLength": true}', "whole numbers"),
        ('{"type": "object", "properties": [], "required": []}', "wrong type"),
        ('{"type": "object", "required": ["a"]}', "does not name"),
        ('{"type": "object", "required": [["a"]]}', "no text"),
        ('{"type": "object", "properties": {"a": {}}, "additionalProperties": {}}', "beside"),
        (json.dumps(DEEP), "nested"),
        ('{"oneOf": [{}]}', "'oneOf'"),
        ('{"$ref": 3}', "another document"),
        (json.dumps({"enum": ["x" * 70_000]}), "over 65536 bytes"),
        (json.dumps(MANY), "over 65536 bytes"),
    ],
)
def test_what_no_grammar_can_hold_is_refused(schema: str, why: str) -> None:
    with pytest.raises(Unsupported, match=re.escape(why)):
        build_grammar(schema)


def test_a_schema_that_is_its_own_definition_ends() -> None:
    grammar = build_grammar('{"$ref": "#"}')
    assert rule_of(grammar, "root") == "d0"
    assert rule_of(grammar, "d0") == "d0"
