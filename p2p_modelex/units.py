"""Quantities with their units: money is integers of 10^-18 $AI, time is integers of milliseconds."""

from decimal import Decimal, InvalidOperation
from typing import NewType

from p2p_modelex.errors import BadInput

UnixMs = NewType("UnixMs", int)
"""Wall-clock time, milliseconds since 1970."""

Millis = NewType("Millis", int)
"""A duration in milliseconds."""

Tokens = NewType("Tokens", int)
"""A count of model tokens, by the provider's own tokenizer."""

Epoch = NewType("Epoch", int)
"""How many 2:1 splits the $AI token had seen when an amount was written down (uint16)."""

DECIMALS = 18
AI = 10**DECIMALS
UINT128_MAX = 2**128 - 1


class Wei(int):
    """An amount of $AI in units of 10^-18, 0 to 2^128-1; on the wire 16 bytes, big-endian."""

    __slots__ = ()

    def __new__(cls, value: int) -> "Wei":
        if not 0 <= value <= UINT128_MAX:
            raise BadInput(f"an amount lies in 0..2^128-1, not {value}")
        return super().__new__(cls, value)


def parse_ai(text: str) -> Wei:
    """Parse a decimal amount of $AI such as `0.25`; BadInput if it is not one or is finer than 10^-18."""
    try:
        scaled = Decimal(text.strip()).scaleb(DECIMALS)
    except InvalidOperation as error:
        raise BadInput(f"not an amount of AI: {text[:80]!r}") from error
    if not scaled.is_finite() or scaled != scaled.to_integral_value():
        raise BadInput(f"not an amount of AI with at most {DECIMALS} decimals: {text[:80]!r}")
    return Wei(int(scaled))


def format_ai(amount: int) -> str:
    """Return an amount in wei as decimal $AI without trailing zeros, `0.25 AI`."""
    sign, amount = ("-", -amount) if amount < 0 else ("", amount)
    whole, fraction = divmod(amount, AI)
    digits = f"{fraction:0{DECIMALS}d}".rstrip("0")
    return f"{sign}{whole}{'.' + digits if digits else ''} AI"
