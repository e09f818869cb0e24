"""From a JSON schema to a GBNF grammar that makes exactly the JSON it allows.

Ours, because the converters that come with llama.cpp's builds differ, and one of them lets a model
with a SentencePiece vocabulary write what it likes. What cannot be held to is refused: a schema
that is followed in part is a promise broken. Object members come in the order of `properties`.
"""

import json
import re
from collections.abc import Callable, Mapping
from itertools import accumulate
from types import MappingProxyType
from typing import Any

from p2p_modelex.errors import Unsupported
from p2p_modelex.limits import KIB

GRAMMAR_BYTES = 64 * KIB
DEPTH_MAX = 32
BRACKETS_MAX = 4 * DEPTH_MAX
REPEATS_MAX = 1024

_NOTES = frozenset(
    ("$schema", "$id", "$comment", "title", "description", "default", "examples", "deprecated")
) | {"readOnly", "writeOnly", "$defs", "definitions"}
"""What a schema may say that no document can break."""

_COMMON = """\
ws ::= [ \\t\\n]?
char ::= [^"\\\\\\x00-\\x1F] | "\\\\" (["\\\\/bfnrt] | "u" [0-9a-fA-F]{4})
string ::= "\\"" char* "\\""
integer ::= "-"? ("0" | [1-9] [0-9]{0,15})
number ::= integer ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,3})?
boolean ::= "true" | "false"
null ::= "null"
value ::= object | array | string | number | boolean | null
object ::= "{" ws (string ws ":" ws value (ws "," ws string ws ":" ws value)*)? ws "}"
array ::= "[" ws (value (ws "," ws value)*)? ws "]"
"""
_KEYS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "object": frozenset(("properties", "required", "additionalProperties")),
        "array": frozenset(("items", "minItems", "maxItems")),
        "string": frozenset(("minLength", "maxLength")),
        "integer": frozenset(),
        "number": frozenset(),
        "boolean": frozenset(),
        "null": frozenset(),
    }
)


def build_grammar(schema: str) -> str:
    """Return the grammar of a schema's text. Raises Unsupported, naming what is not understood."""
    # Looked at before it is parsed: Python is not to find out how deep it can go.
    nested = accumulate((text in "[{") - (text in "]}") for text in schema)
    if max(nested, default=0) > BRACKETS_MAX:
        raise Unsupported(f"the JSON schema has over {BRACKETS_MAX} brackets in each other")
    try:
        # Half of a surrogate pair shows when a rule is encoded.
        return _Converter(json.loads(schema, parse_constant=_refuse_constant)).convert()
    except ValueError as error:
        raise Unsupported(f"the JSON schema is not JSON: {error}") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


class _Converter:
    def __init__(self, root: Any) -> None:
        self._root = root
        self._rules: list[str] = []
        self._named: dict[str, str] = {}
        self._size = 0

    def convert(self) -> str:
        top = self._visit(self._root, 0)
        return f"root ::= {top}\n" + "".join(self._rules) + _COMMON

    def _add(self, body: str) -> str:
        name = f"r{len(self._rules)}"
        self._keep(f"{name} ::= {body}\n")
        return name

    def _keep(self, rule: str) -> None:
        self._size += len(rule.encode())
        if self._size > GRAMMAR_BYTES:
            raise Unsupported(f"the JSON schema makes a grammar of over {GRAMMAR_BYTES} bytes")
        self._rules.append(rule)

    def _visit(self, schema: Any, depth: int) -> str:
        """Return the name of the rule, or a literal, that makes what a schema allows."""
        if depth > DEPTH_MAX:
            raise Unsupported(f"the JSON schema is nested over {DEPTH_MAX} deep")
        if schema is True:
            return "value"
        if not isinstance(schema, dict):
            raise Unsupported(f"a JSON schema cannot be {json.dumps(schema)[:40]}")
        keys = set(schema) - _NOTES
        if not keys:
            return "value"
        for key, visit in self._special().items():
            if key in keys:
                _only(keys, {key, "type"} if key in ("enum", "const") else {key})
                return visit(schema[key], depth)
        return self._visit_type(schema, keys, depth)

    def _special(self) -> dict[str, Callable[[Any, int], str]]:
        return {
            "$ref": self._refer,
            "enum": lambda values, _: self._choose(values),
            "const": lambda value, _: self._choose([value]),
            "anyOf": self._any_of,
        }

    def _choose(self, values: Any) -> str:
        if not isinstance(values, list) or not values:
            raise Unsupported("an enum that is empty or no list")
        return self._add(" | ".join(map(_literal, values)))

    def _any_of(self, options: Any, depth: int) -> str:
        if not isinstance(options, list) or not options:
            raise Unsupported("an anyOf that is empty or no list")
        return self._add(" | ".join(self._visit(one, depth + 1) for one in options))

    def _refer(self, path: Any, depth: int) -> str:
        if not isinstance(path, str) or not path.startswith("#"):
            raise Unsupported(f"a $ref to another document: {str(path)[:80]}")
        if path not in self._named:
            # Named before it is visited, so that a schema may refer to itself.
            name = self._named[path] = f"d{len(self._named)}"
            self._keep(f"{name} ::= {self._visit(self._find(path), depth + 1)}\n")
        return self._named[path]

    def _find(self, path: str) -> Any:
        found = self._root
        for part in path.split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, dict) or key not in found:
                raise Unsupported(f"a $ref to nothing: {path[:80]}")
            found = found[key]
        return found

    def _visit_type(self, schema: dict[str, Any], keys: set[str], depth: int) -> str:
        kind = schema.get("type")
        if isinstance(kind, list) and all(isinstance(one, str) for one in kind):
            return self._any_of([_narrow(schema, one) for one in kind], depth)
        if not isinstance(kind, str) or kind not in _KEYS:
            _only(keys, {"type"}.union(*_KEYS.values()))
            raise Unsupported(f"a JSON schema without a type that is known: {str(kind)[:40]}")
        _only(keys, {"type", *_KEYS[kind]})
        match kind:
            case "object":
                return self._visit_object(schema, depth)
            case "array":
                return self._visit_array(schema, depth)
            case "string" if keys & _KEYS["string"]:
                return self._add(f'"\\"" char{_repeat(schema, "Length")} "\\""')
        return kind

    def _visit_array(self, schema: dict[str, Any], depth: int) -> str:
        item = self._visit(schema.get("items", True), depth + 1)
        least, most = _bounds(schema, "Items")
        if most == 0:
            return self._add('"[" ws "]"')
        rest = f"{{{max(least - 1, 0)},{'' if most is None else most - 1}}}"
        items = f'{item} (ws "," ws {item}){rest}'
        return self._add(f'"[" ws {items if least else f"({items})?"} ws "]"')

    def _visit_object(self, schema: dict[str, Any], depth: int) -> str:
        members, required = schema.get("properties", {}), schema.get("required", [])
        if not isinstance(members, dict) or not isinstance(required, list):
            raise Unsupported("properties or required of the wrong type")
        if not all(isinstance(name, str) for name in required):
            raise Unsupported("a required member whose name is no text")
        if any(name not in members for name in required):
            raise Unsupported("a required member that properties does not name")
        extra = schema.get("additionalProperties", True)
        if not members:
            return self._visit_map(extra, depth)
        if not isinstance(extra, bool):
            raise Unsupported("additionalProperties beside properties, other than true or false")
        # Members that a schema merely tolerates are not written.
        pairs = [
            (f'{_literal(name)} ws ":" ws {self._visit(member, depth + 1)}', name in required)
            for name, member in members.items()
        ]
        return self._add(f'"{{" ws {self._chain(pairs)} ws "}}"')

    def _visit_map(self, extra: Any, depth: int) -> str:
        if extra is False:
            return self._add('"{" ws "}"')
        pair = f'string ws ":" ws {self._visit(extra, depth + 1)}'
        return self._add(f'"{{" ws ({pair} (ws "," ws {pair})*)? ws "}}"')

    def _chain(self, pairs: list[tuple[str, bool]]) -> str:
        """Return the members in a row, with a comma before each but the first that is written."""
        # What may follow from here on, where no member was written yet, and where one was.
        first = later = '""'
        for pair, is_required in reversed(pairs):
            rest = self._add(later)
            written = f"{pair} {rest}"
            following = f'ws "," ws {written}'
            first = written if is_required else f"{written} | {self._add(first)}"
            later = following if is_required else f"{following} | {rest}"
        return self._add(first)


def _narrow(schema: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return the schema for one of its types, without what is said of values of the others."""
    others = frozenset[str]().union(*_KEYS.values()) - _KEYS.get(kind, frozenset())
    return {key: value for key, value in schema.items() if key not in others} | {"type": kind}


def _only(keys: set[str], known: set[str]) -> None:
    if unknown := sorted(keys - known):
        raise Unsupported(f"the JSON schema uses {unknown[0]!r}, which no grammar here can hold")


def _bounds(schema: dict[str, Any], what: str) -> tuple[int, int | None]:
    for key in (f"min{what}", f"max{what}"):
        bound = schema.get(key, 0)
        # bool is an int to Python, not to a schema.
        if not isinstance(bound, int) or isinstance(bound, bool) or not 0 <= bound <= REPEATS_MAX:
            raise Unsupported(f"min{what} and max{what} are whole numbers up to {REPEATS_MAX}")
    least, most = schema.get(f"min{what}", 0), schema.get(f"max{what}")
    if most is not None and most < least:
        raise Unsupported(f"max{what} is under min{what}")
    return least, most


def _repeat(schema: dict[str, Any], what: str) -> str:
    least, most = _bounds(schema, what)
    return f"{{{least},{'' if most is None else most}}}"


def _literal(value: Any) -> str:
    """Return the GBNF literal of a JSON value."""
    return '"' + re.sub(r'(["\\])', r"\\\1", json.dumps(value, ensure_ascii=False)) + '"'
