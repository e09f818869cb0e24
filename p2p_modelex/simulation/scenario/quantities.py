"""Quantities with their units, as scenarios write them: "30 s", "20 Mbit/s", "0.25 AI".

A number without a unit, or a unit of another kind, is refused: seconds are not milliseconds.
"""

import re
from collections.abc import Mapping

from p2p_modelex.units import AI, Wei

_TEXT = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?) ?([A-Za-zµ/]+)")

_SECOND = 1_000_000
_TIMES = {
    "us": 1,
    "ms": 1_000,
    "s": _SECOND,
    "min": 60 * _SECOND,
    "h": 3600 * _SECOND,
    "d": 86_400 * _SECOND,
}
_RATES = {"kbit/s": 125, "Mbit/s": 125_000, "Gbit/s": 125_000_000}
_MONEY = {"AI": AI}
_TABLES: tuple[tuple[str, Mapping[str, int], str], ...] = (
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
    return int(whole) * scale + int(fraction or 0) * scale // int("1" + "0" * len(fraction))


def read_quantity(kind: type, value: object) -> object:
    """Read one of the kinds above: the `dec_hook` of a scenario. ValueError says what is wrong."""
    if kind is Duration:
        return Duration(_parse(value, *_TABLES[0]))
    if kind is ByteRate:
        return ByteRate(_parse(value, *_TABLES[1]))
    if kind is Money:
        return Money(_parse(value, *_TABLES[2]))
    raise NotImplementedError(kind.__name__)


def seconds(duration_us: int) -> float:
    """Return microseconds as seconds, for people."""
    return duration_us / _SECOND
