"""Grammars of JSON schemas: what they let through, by an engine that samples under them."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from p2p_modelex.engine.registry import open_engine
from p2p_modelex.engine.spec import EngineSpec
from p2p_modelex.errors import BadInput
from p2p_modelex.node.gateway.grammar import ANY_OBJECT, DEPTH_MAX, build_grammar
from p2p_modelex.records.receipt import Finish
from tests.engine.asking import ask, make_request
from tests.engine.tiny import write_tiny

POINT = {"type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}}}


def test_an_object_has_its_properties_in_order() -> None:
    root = build_grammar({**POINT, "required": ["x"], "additionalProperties": False}).splitlines()
    assert root[-1] == (
        r'root ::= "{" space "\"x\"" space ":" space integer "," space "\"y\"" space ":" space '
        'integer "}" space'
    )


@pytest.mark.parametrize(
    ("schema", "root"),
    [
        ({}, "value"),
        ({"type": "string", "title": "T", "description": "d"}, "string"),
        ({"type": ["integer", "null"]}, "(integer | null)"),
        ({"enum": ["a b", 1, None]}, r'("\"a b\"" | "1" | "null") space'),
        ({"const": 'q"\\'}, r'("\"q\\\"\\\\\"") space'),
        ({"anyOf": [{"type": "null"}, {"type": "number"}]}, "(null | number)"),
        (
            {"type": "array", "items": {"type": "null"}},
            '"[" space (item-0 ("," space item-0)*)? "]" space',
        ),
        ({"type": "array"}, "array"),
        ({"type": "object", "additionalProperties": False}, '"{" space  "}" space'),
        ({"type": "object", "additionalProperties": {"type": "null"}}, None),
    ],
)
def test_schemas_and_their_rules(schema: dict[str, Any], root: str | None) -> None:
    if root is None:
        with pytest.raises(BadInput, match="additionalProperties"):
            build_grammar(schema)
        return
    rules = dict(line.split(" ::= ", 1) for line in build_grammar(schema).splitlines())
    assert rules["root"] == root
    assert _names_in(rules.values()) <= rules.keys()


def _names_in(rules: Iterable[str]) -> set[str]:
    """The rules that rules name, outside their texts and classes."""
    bare = (re.sub(r'"(?:[^"\\]|\\.)*"|\[(?:[^]\\]|\\.)*]', " ", rule) for rule in rules)
    return {name for rule in bare for name in re.findall(r"[a-z][a-z0-9-]*", rule)}


def test_a_schema_may_refer_to_itself() -> None:
    node = {
        "type": "object",
        "properties": {"next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
    }
    grammar = build_grammar({"$ref": "#/$defs/node", "$defs": {"node": node}})
    assert "root ::= part-1" in grammar
    assert grammar.count("part-1") == 3


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"type": "string", "pattern": "a+"}, "pattern"),
        ({"type": "integer", "minimum": 3}, "minimum"),
        ({"type": "string", "format": "date"}, "format"),
        ({"oneOf": [{}]}, "oneOf"),
        ({"type": "poem"}, "poem"),
        ({"$ref": "#/$defs/x"}, "nowhere"),
        ({"$ref": 3}, "nowhere"),
        ({"$ref": {}}, "nowhere"),
        ({"$defs": 3}, "not an object"),
        ({"enum": []}, "not empty"),
        ({"properties": {"a": {}}}, "properties"),
        ({"type": "object", "properties": []}, "not an object"),
        ({"type": "object", "required": ["a"]}, "required"),
        ({"type": "object", "properties": {"a": {}}, "required": [{}]}, "required"),
        ({"type": "array", "items": True}, "a schema is an object"),
        ({"enum": ["x" * 9000]}, "over"),
    ],
)
def test_what_a_grammar_would_not_enforce_is_refused(schema: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        build_grammar(schema)


def test_depth_is_bounded() -> None:
    schema: dict[str, Any] = {}
    for _ in range(100):
        schema = {"type": "array", "items": schema}
    with pytest.raises(BadInput, match="deeper"):
        build_grammar(schema)


def test_what_would_grow_without_bound_is_given_up_soon() -> None:
    types: dict[str, Any] = {}
    arrays: dict[str, Any] = {}
    for _ in range(DEPTH_MAX // 2 - 1):
        types = {"type": ["array"] * 100, "items": types}
    for _ in range(DEPTH_MAX - 1):
        arrays = {"type": "array", "items": arrays}
    with pytest.raises(BadInput, match="over"):
        build_grammar(types)
    assert build_grammar(arrays).count("item-") == 3 * (DEPTH_MAX - 1)


def test_any_object_is_a_grammar_of_its_own() -> None:
    assert "root ::= object" in ANY_OBJECT
    assert json.dumps(ANY_OBJECT).isascii()


SCHEMA = {
    "type": "object",
    "properties": {
        "mood": {"enum": ["good", "bad"]},
        "score": {"type": "integer"},
        "sure": {"type": "boolean"},
        "next": {"anyOf": [{"$ref": "#/$defs/point"}, {"type": "null"}]},
    },
    "required": ["mood", "score", "sure", "next"],
    "additionalProperties": False,
    "$defs": {"point": POINT},
}


@pytest.mark.slow
async def test_llama_cpp_writes_what_the_schema_allows(tmp_path: Path) -> None:
    """A model of random weights, sampled hot: nothing but the grammar makes JSON of it."""
    path = write_tiny(tmp_path / "tiny.gguf")
    whole = 0
    async with open_engine(EngineSpec(engine="xllamacpp", model="m", path=path)) as engine:
        for seed in range(12):
            for grammar in (build_grammar(SCHEMA), ANY_OBJECT):
                asked = make_request("x", max_tokens=400, temperature=1.0, seed=seed)
                answer = await ask(engine, msgspec.structs.replace(asked, grammar=grammar))
                if answer.done.finish is not Finish.STOP:
                    continue
                whole += 1
                value = json.loads(answer.text)
                assert isinstance(value, dict)
                if grammar is not ANY_OBJECT:
                    assert list(value) == list(SCHEMA["properties"])  # type: ignore[call-overload]
                    assert value["mood"] in ("good", "bad")
                    assert isinstance(value["sure"], bool)
    assert whole > 0
