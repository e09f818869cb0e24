"""Plain values (what msgpack and JSON hold), drawn from a type or bent out of a good value."""

import json
from collections.abc import Sequence
from typing import Any

import msgpack
from msgspec import inspect

from tests.fuzz.choices import Choices

_TEXTS = (
    *("", "a", "0x", "0x00", "tiny", "\x00", "é", "𝄞", "\ud800", "-1", "1e9"),
    *("a" * 65, "a" * 600),
)
_FLOATS = (0.0, -0.0, 1.0, 2.0, 0.5, -1.0, 1e308, float("inf"), float("nan"))


def draw_anything(choices: Choices, depth: int = 2) -> Any:
    """A value of any type that msgpack and JSON know (bytes where JSON will refuse them)."""
    match choices.below(10):
        case 0:
            return None
        case 1:
            return choices.chance(128)
        case 2 | 3:
            return choices.integer()
        case 4:
            return choices.pick(_FLOATS)
        case 5:
            return choices.some()
        case 6:
            return choices.some().decode("utf-8", "replace")
        case 7:
            return choices.pick(_TEXTS)
        case 8 if depth:
            return [draw_anything(choices, depth - 1) for _ in range(choices.below(5))]
        case 9 if depth:
            return {
                choices.pick(_TEXTS): draw_anything(choices, depth - 1)
                for _ in range(choices.below(4))
            }
    return bytes(choices.below(70))


def bend(value: Any, choices: Choices, like: Sequence[Any] = ()) -> Any:
    """`value` with one place in it changed; `like`: values worth trying there."""
    if isinstance(value, list) and value and choices.chance(220):
        return _bend_list(value, choices, like)
    if isinstance(value, dict) and value and choices.chance(220):
        key = choices.pick(sorted(value))
        if choices.chance(24):
            return {name: one for name, one in value.items() if name != key}
        return value | {key: bend(value[key], choices, like)}
    if like and choices.chance(96):
        return choices.pick(like)
    if isinstance(value, bytes) and value and choices.chance(160):
        at = choices.below(len(value))
        return value[:at] + choices.take(1) + value[at + choices.below(2) :]
    if isinstance(value, int) and choices.chance(160):
        return choices.pick((value + 1, value - 1, value * 2, -value, choices.integer()))
    if isinstance(value, str) and choices.chance(128):
        return choices.pick((value + choices.pick(_TEXTS), value[1:], value.upper(), value * 2))
    return draw_anything(choices)


def _bend_list(value: list[Any], choices: Choices, like: Sequence[Any]) -> list[Any]:
    at = choices.below(len(value))
    match choices.below(12):
        case 0:
            return [*value[:at], *value[at + 1 :]]
        case 1:
            return [*value[:at], value[at], *value[at:]]
        case 2:
            return [*value[:at], draw_anything(choices), *value[at:]]
        case 3:
            return value[::-1]
    return [*value[:at], bend(value[at], choices, like), *value[at + 1 :]]


def pack(value: Any) -> bytes:
    """msgpack, or nothing for what it does not hold."""
    try:
        return bytes(msgpack.packb(value, use_bin_type=True, unicode_errors="surrogatepass"))
    except (OverflowError, ValueError, TypeError):
        return b""


def unpack(data: bytes) -> Any:
    return msgpack.unpackb(data, raw=False, strict_map_key=False)


def draw(kind: Any, choices: Choices, like: Sequence[bytes] = ()) -> Any:
    """A plain value of a type, within its bounds more often than not."""
    return _draw(inspect.type_info(kind), choices, like)


def _draw(kind: inspect.Type, choices: Choices, like: Sequence[bytes]) -> Any:
    if choices.chance(3):
        return draw_anything(choices)
    match kind:
        case inspect.Metadata():
            return _draw(kind.type, choices, like)
        case inspect.UnionType():
            return _draw(choices.pick(kind.types), choices, like)
        case inspect.StructType():
            tag = [] if kind.tag is None else [kind.tag]
            return tag + [_draw(field.type, choices, like) for field in kind.fields]
        case inspect.VarTupleType():
            most = 6 if kind.max_length is None else kind.max_length
            count = min(most, (kind.min_length or 0) + choices.below(4))
            return [_draw(kind.item_type, choices, like) for _ in range(count)]
        case inspect.IntType():
            found = choices.integer()
            return found if choices.chance(8) else _clip(found, kind.ge or 0, kind.le)
        case inspect.FloatType():
            return choices.pick(_FLOATS)
        case inspect.BytesType():
            return _draw_bytes(kind, choices, like)
        case inspect.StrType():
            text = choices.pick(("a", "tiny", "/ip4/127.0.0.1/tcp/4001", choices.pick(_TEXTS)))
            return text if kind.max_length is None else text[: kind.max_length]
        case inspect.LiteralType():
            return choices.pick(kind.values)
        case inspect.EnumType():
            return choices.pick([one.value for one in kind.cls])
        case inspect.CustomType():  # Wei: 16 bytes
            return max(0, choices.integer()).to_bytes(16, "big")
    return draw_anything(choices)


def _clip(found: int, least: int, most: int | None) -> int:
    return max(least, found if most is None else min(found, most))


def _draw_bytes(kind: inspect.BytesType, choices: Choices, like: Sequence[bytes]) -> bytes:
    least, most = kind.min_length or 0, kind.max_length or 256
    fitting = [one for one in like if least <= len(one) <= most]
    if fitting and choices.chance(192):
        return choices.pick(fitting)
    return choices.take(least + choices.below(min(most - least, 255) + 1)).ljust(least, b"\0")


def to_plain(value: Any) -> Any:
    """A struct as the codec's plain values."""
    from p2p_modelex.records import codec

    return unpack(codec.encode(value))


def write_json(value: Any) -> bytes:
    """JSON as a careless peer writes it: NaN, lone surrogates, and bytes as hexadecimal."""
    return json.dumps(value, default=bytes.hex).encode("utf-8", "surrogatepass")
