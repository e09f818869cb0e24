"""Quantities with their units, as scenarios write them: "30 s", "20 Mbit/s", "0.25 AI".

A number without a unit, or a unit of another kind, is refused: seconds are not milliseconds.
"""

import re
from collections.abc import Mapping

from p2p_modelex.errors import BadInput
from p2p_modelex.units import AI, Wei

_DIGITS, _PLACES = 12, 9
_TEXT = re.compile(rf"([0-9]{{1,{_DIGITS}}}(?:\.[0-9]{{1,{_PLACES}}})?) ?([A-Za-zµ/]+)")

_SECOND = 1_000_000
_TIMES = {
    "us": 1,
    "ms": 1_000,
    "s": _SECOND,
    "min": 60 * _SECOND,
    "h": 3600 * _SECOND,
    "d": 86_400 * _SECOND,
}
TIME_MAX = 3_653 * _TIMES["d"]
_RATES = {"kbit/s": 125, "Mbit/s": 125_000, "Gbit/s": 125_000_000}
_MONEY = {"AI": AI}
_TABLES: tuple[tuple[str, dict[str, int], str], ...] = (
    ("a time", _TIMES, "30 s"),
    ("a rate", _RATES, "20 Mbit/s"),
    ("an amount of money", _MONEY, "0.25 AI"),
)


class Duration(int):
    """Microseconds."""

    __slots__ = ()


class ByteRate(int):
    """Bytes a second."""

    __slots__ = ()


class Money(Wei):
    """Wei."""

    __slots__ = ()


def _parse(text: object, kind: str, units: Mapping[str, int], example: str) -> int:
    match = _TEXT.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f'expected {kind} with its unit, such as "{example}"')
    number, unit = match[1], match[2]
    if unit not in units:
        other = next((name for name, table, _ in _TABLES if unit in table), "no unit known here")
        raise ValueError(f'"{unit}" is {other}; expected {kind}, such as "{example}"')
    whole, _, fraction = number.partition(".")
    scale = units[unit]
    value = int(whole) * scale + int(fraction or 0) * scale // int("1" + "0" * len(fraction))
    if units is _TIMES and value > TIME_MAX:
        raise ValueError("over ten years")
    return value


def read_quantity(kind: type, value: object) -> object:
    """Read one of the kinds above: the `dec_hook` of a scenario. ValueError says what is wrong."""
    if kind is Duration:
        return Duration(_parse(value, *_TABLES[0]))
    if kind is ByteRate:
        return ByteRate(_parse(value, *_TABLES[1]))
    if kind is Money:
        return Money(_parse(value, *_TABLES[2]))
    raise NotImplementedError(kind.__name__)


def write_quantity(value: object) -> str | None:
    """Write one of the kinds above so that it is read as the same; None for anything else.

    BadInput for what no text stands for: the tenth digit of an amount.
    """
    for kind, (_, units, _) in zip((Duration, ByteRate, Money), _TABLES, strict=True):
        if isinstance(value, int) and isinstance(value, kind):
            return _write(value, units)
    return None


def _write(value: int, units: dict[str, int]) -> str:
    """In the largest unit that leaves a whole number; else with decimals."""
    for unit, scale in reversed(units.items()):
        if value and not value % scale and value < scale * 10**_DIGITS:
            return f"{value // scale} {unit}"
    unit = "s" if "s" in units else next(iter(units))
    scale = units[unit]
    whole, rest = divmod(value, scale)
    digits = f"{rest * 10**_PLACES // scale:0{_PLACES}}".rstrip("0")
    if int(digits or 0) * scale != rest * 10 ** len(digits):
        raise BadInput(f"{value} has no text in {unit}", hint=f"at most {_PLACES} decimals")
    return f"{whole}.{digits} {unit}" if digits else f"{whole} {unit}"


def seconds(duration_us: int) -> float:
    """Return microseconds as seconds, for people."""
    return duration_us / _SECOND
