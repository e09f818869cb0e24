"""From a JSON schema to a grammar (GBNF, llama.cpp's) that lets exactly such JSON through.

The part of JSON Schema that OpenAI's strict mode has: objects, arrays, strings, numbers, booleans,
null, `enum`, `const`, `anyOf`, `$ref` to `$defs`. A keyword that a grammar would silently not
enforce is refused. Properties come in the schema's order and all of them: optional ones are written
too, which every such schema allows.
"""

import json
from typing import Any

from p2p_modelex import limits
from p2p_modelex.errors import BadInput

DEPTH_MAX = 24

_RULES = {
    "space": '" "?',
    "hex": "[0-9a-fA-F]",
    "char": r'[^"\\\x00-\x1F\x7F] | "\\" (["\\/bfnrt] | "u" hex hex hex hex)',
    "string": r'"\"" char* "\"" space',
    "integer": '"-"? ("0" | [1-9] [0-9]*) space',
    "number": '"-"? ("0" | [1-9] [0-9]*) ("." [0-9]+)? ([eE] [-+]? [0-9]+)? space',
    "boolean": '("true" | "false") space',
    "null": '"null" space',
    "pair": 'string ":" space value',
    "object": '"{" space (pair ("," space pair)*)? "}" space',
    "array": '"[" space (value ("," space value)*)? "]" space',
    "value": "object | array | string | number | boolean | null",
}
_NEEDS = {
    "char": ("hex",),
    "string": ("char", "space"),
    "integer": ("space",),
    "number": ("space",),
    "boolean": ("space",),
    "null": ("space",),
    "pair": ("string", "value", "space"),
    "object": ("pair", "space"),
    "array": ("value", "space"),
    "value": ("object", "array", "string", "number", "boolean", "null"),
}
_NOTES = frozenset(
    {"title", "description", "default", "examples", "$schema", "$id", "$comment", "$defs"}
    | {"definitions", "deprecated", "readOnly", "writeOnly"}
)
_SHAPES = {
    "object": {"properties", "required", "additionalProperties"},
    "array": {"items"},
}


def build_grammar(schema: dict[str, Any]) -> str:
    """Return the grammar of a schema. Raises BadInput for what it cannot enforce, and over the
    size that a request may have (limits.GRAMMAR_BYTES).
    """
    return _Grammar(schema).render(schema)


class _Grammar:
    def __init__(self, schema: dict[str, Any]) -> None:
        self._defined: dict[str, Any] = {}
        for place in ("$defs", "definitions"):
            found = schema.get(place, {})
            if not isinstance(found, dict):
                raise BadInput(f"{place} is not an object")
            self._defined |= {f"#/{place}/{name}": part for name, part in found.items()}
        self._names: dict[str, str] = {"#": "root"}
        self._rules: dict[str, str] = {}
        # Parts of a schema that may be shown; each makes more characters than one.
        self._left = limits.GRAMMAR_BYTES

    def render(self, schema: dict[str, Any]) -> str:
        self._rules["root"] = self._show(schema, 0)
        lines = "\n".join(f"{name} ::= {rule}" for name, rule in self._rules.items())
        if len(lines) > limits.GRAMMAR_BYTES:
            raise _too_large()
        return lines

    def _show(self, schema: Any, depth: int) -> str:
        if not isinstance(schema, dict):
            raise BadInput(f"a schema is an object, not {json.dumps(schema)[:60]}")
        self._left -= 1
        if self._left < 0:
            raise _too_large()
        if depth > DEPTH_MAX:
            raise BadInput(f"it is nested deeper than {DEPTH_MAX}; use $defs")
        keys = schema.keys() - _NOTES
        if "$ref" in keys:
            _check(keys, {"$ref"})
            return self._refer(schema["$ref"], depth)
        if "const" in keys or "enum" in keys:
            _check(keys, {"const", "enum", "type"})
            values = schema["enum"] if "enum" in keys else [schema["const"]]
            return self._list([_literal(value) for value in _parts(values)]) + self._use(" space")
        if "anyOf" in keys:
            _check(keys, {"anyOf"})
            return self._list([self._show(part, depth + 1) for part in _parts(schema["anyOf"])])
        kind = schema.get("type")
        if isinstance(kind, list):
            one = [self._show({**schema, "type": each}, depth + 1) for each in _parts(kind)]
            return self._list(one)
        _check(keys, {"type", *_SHAPES.get(str(kind), set())})
        if kind == "object" and keys != {"type"}:
            return self._show_object(schema, depth)
        if kind == "array" and "items" in keys:
            # A rule of its own: written out twice, nested arrays would double at each level.
            item = f"item-{len(self._rules)}"
            self._rules[item] = ""
            self._rules[item] = self._show(schema["items"], depth + 1)
            return self._use(f'"[" space ({item} ("," space {item})*)? "]" space')
        if kind is None:
            return self._use("value")
        if kind not in ("object", "array", "string", "number", "integer", "boolean", "null"):
            raise BadInput(f"there is no type {json.dumps(kind)[:60]}")
        return self._use(kind)

    def _show_object(self, schema: dict[str, Any], depth: int) -> str:
        properties = schema.get("properties", {})
        if not isinstance(properties, dict):
            raise BadInput("properties is not an object")
        required = schema.get("required", [])
        if not isinstance(required, list) or not all(
            isinstance(name, str) and name in properties for name in required
        ):
            raise BadInput("required names what is not among the properties")
        if not properties and schema.get("additionalProperties", True) is not False:
            _check({"additionalProperties"} if "additionalProperties" in schema else set(), set())
            return self._use("object")
        pairs = [
            f'{_literal(name)} space ":" space {self._show(part, depth + 1)}'
            for name, part in properties.items()
        ]
        inner = ' "," space '.join(pairs)
        return self._use(f'"{{" space {inner} "}}" space')

    def _refer(self, target: Any, depth: int) -> str:
        """Return the rule of a definition, made when it is first met, so that it may recur."""
        if isinstance(target, str) and target in self._names:
            return self._names[target]
        if not isinstance(target, str) or target not in self._defined:
            raise BadInput(f"$ref leads nowhere: {json.dumps(target)[:80]}")
        name = self._names[target] = f"part-{len(self._names)}"
        self._rules[name] = ""
        self._rules[name] = self._show(self._defined[target], depth + 1)
        return name

    def _list(self, alternatives: list[str]) -> str:
        return f"({' | '.join(alternatives)})"

    def _use(self, rule: str) -> str:
        """Add the common rules that a rule leans on."""
        wanted = [name for name in _RULES if name in rule.split()]
        while wanted:
            name = wanted.pop()
            if name not in self._rules:
                self._rules[name] = _RULES[name]
                wanted += _NEEDS.get(name, ())
        return rule


def _too_large() -> BadInput:
    return BadInput(f"its grammar is over {limits.GRAMMAR_BYTES} characters; simplify it")


def _parts(values: Any) -> list[Any]:
    if not isinstance(values, list) or not values:
        raise BadInput("enum, anyOf and a list of types are lists and not empty")
    return values


def _check(keys: set[str], known: set[str]) -> None:
    odd = sorted(keys - known)
    if odd:
        raise BadInput(f"no grammar can enforce {', '.join(odd)[:80]}; leave it out")


def _literal(value: Any) -> str:
    """Return a JSON value as text of a grammar."""
    text = json.dumps(value, separators=(",", ":"))
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


ANY_OBJECT = build_grammar({"type": "object"})
"""Any JSON object: what `json_object` asks for."""
