"""What a configuration option is: a default, its meaning, and a kind that reads and writes it.

Kinds are strict: a number is not a text, an amount of money is a text (TOML's floats are not
exact), and a wrong value is told what was expected, with its unit.
"""

import dataclasses
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from p2p_modelex.errors import BadInput
from p2p_modelex.units import AI, DECIMALS, Wei, parse_ai

PRICE_TOKENS = 1000
"""Prices are written for this many tokens, because a price for one has too many zeros to read."""
SUPPLY_AI = 10**9
"""All $AI there is, before splits; no price or amount in a configuration can be more, whatever
split epoch it is in."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value: what to call it, how to read it from TOML and how to write it there."""

    title: str
    read: Callable[[object], Any]
    """Raises ValueError or BadInput if the value is not of this kind."""
    write: Callable[[Any], str]


@dataclass(frozen=True, slots=True)
class Meaning:
    """A field's documentation, carried in its dataclass metadata."""

    kind: Kind
    text: str
    example: str = ""
    """TOML to show where there is no default to show."""


def option(kind: Kind, default: Any, text: str, *, example: str = "") -> Any:
    """A configuration field. `default` may be `dataclasses.MISSING` where there is none."""
    return dataclasses.field(default=default, metadata={"meaning": Meaning(kind, text, example)})


def meaning_of(field: "dataclasses.Field[Any]") -> Meaning | None:
    """Return a field's meaning; None if it is a table of its own."""
    return field.metadata.get("meaning")


def _quote(value: str) -> str:
    # A JSON string is a TOML basic string, but for one control character that JSON leaves alone.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _read_text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError  # noqa: TRY004
    return value


def _read_texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError  # noqa: TRY004
    return tuple(_read_text(item) for item in value)


def _read_switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError  # noqa: TRY004
    return value


def texts(at_most: int) -> Kind:
    """A list of at most so many texts."""

    def read(value: object) -> tuple[str, ...]:
        items = _read_texts(value)
        if len(items) > at_most:
            raise BadInput(f"{len(items)} of them")
        return items

    return Kind(f"list of at most {at_most} texts", read, _write_texts)


def _write_texts(value: tuple[str, ...]) -> str:
    return "[" + ", ".join(map(_quote, value)) + "]"


def words(*values: str) -> Kind:
    """A list of some of a few words, each once."""

    def read(value: object) -> tuple[str, ...]:
        items = _read_texts(value)
        if len(set(items)) < len(items) or not set(items) <= set(values):
            raise ValueError
        return items

    return Kind("list of some of " + ", ".join(map(_quote, values)), read, _write_texts)


def _read_digest(value: object) -> str:
    text = _read_text(value).lower()
    if text and not re.fullmatch("[0-9a-f]{64}", text):
        raise BadInput("a SHA-256 has 64 hexadecimal digits")
    return text


TEXT = Kind("text", _read_text, _quote)
DIGEST = Kind("SHA-256 in hexadecimal", _read_digest, _quote)
SWITCH = Kind("true or false", _read_switch, lambda value: "true" if value else "false")


def choice(*values: str) -> Kind:
    """One of a few words."""

    def read(value: object) -> str:
        if value not in values:
            raise ValueError
        return str(value)

    return Kind("one of " + ", ".join(map(_quote, values)), read, _quote)


def whole(low: int, high: int, unit: str) -> Kind:
    """A whole number of a unit, from `low` to `high`."""

    def read(value: object) -> int:
        # bool is an int to Python, not to an operator.
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError
        return value

    return Kind(f"whole number of {unit}, {low} to {high}", read, str)


def _read_amount(value: object) -> Wei:
    text = _read_text(value)
    if not re.fullmatch(r"[0-9]{1,10}(\.[0-9]{1,18})?", text, re.ASCII):
        raise BadInput("a decimal number in quotes, with at most 18 decimals")
    amount = parse_ai(text)
    if amount > SUPPLY_AI * AI:
        raise BadInput(f"there are only {SUPPLY_AI} AI")
    return amount


def _read_price(value: object) -> Wei:
    amount = _read_amount(value)
    if amount % PRICE_TOKENS:
        raise BadInput(
            f"finer than 10^-{DECIMALS} AI a token; write at most {DECIMALS - 3} decimals"
        )
    return Wei(amount // PRICE_TOKENS)


def _write_ai(amount: int) -> str:
    whole_part, fraction = divmod(amount, AI)
    digits = f"{fraction:0{DECIMALS}d}".rstrip("0")
    return _quote(f"{whole_part}.{digits}" if digits else str(whole_part))


AMOUNT = Kind('amount of AI as text, such as "0.25"', _read_amount, _write_ai)
PRICE = Kind(
    f'AI for {PRICE_TOKENS} tokens as text, such as "0.02"',
    _read_price,
    lambda price: _write_ai(price * PRICE_TOKENS),
)
