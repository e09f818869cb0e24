"""Quantities with their units: money is integers of 10^-18 $AI, time is integer milliseconds."""

import re
from typing import NewType, Self

from p2p_modelex.errors import BadInput

UnixMs = NewType("UnixMs", int)
"""Wall-clock time, milliseconds since 1970."""

Millis = NewType("Millis", int)
"""A duration in milliseconds."""


Epoch = NewType("Epoch", int)
"""How many 2:1 splits the $AI token had seen when an amount was written down (uint16)."""

SPLITS_MAX = 20
"""The most splits there can be (SplittingToken.sol): every amount stays under 2^111."""

DECIMALS = 18
AI = 10**DECIMALS
UINT128_MAX = 2**128 - 1
# 2^128-1 wei has 21 digits before the point. Matched as text: Decimal would round at 28 digits.
_AMOUNT = re.compile(r"([0-9]{1,21})(?:\.([0-9]{1,18}))?")


class Wei(int):
    """An amount of $AI in units of 10^-18, 0 to 2^128-1; on the wire 16 bytes, big-endian."""

    __slots__ = ()

    def __new__(cls, value: int) -> Self:
        if not 0 <= value <= UINT128_MAX:
            raise BadInput(f"an amount lies in 0..2^128-1, not {value}")
        return super().__new__(cls, value)


def rescale(amount: int, written: Epoch | int, wanted: Epoch | int) -> int:
    """Return `amount` of split epoch `written` in the units of epoch `wanted`: twice the number for
    each split between, and half of it, rounded down, for one that is not yet.

    It stops at 2^128-1, which no real balance reaches, so that a hostile epoch costs no memory.
    """
    if wanted < written:
        return amount >> (written - wanted)
    return min(amount << min(wanted - written, 128), UINT128_MAX)


def parse_ai(text: str) -> Wei:
    """Parse a decimal amount of $AI such as `0.25`, exactly.

    BadInput if it is not one, is finer than 10^-18 or is over 2^128-1 wei.
    """
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        raise BadInput(
            f"not an amount of AI: {text[:80]!r}",
            hint=f"write digits, and at most {DECIMALS} after the point, such as 0.25",
        )
    whole, fraction = match[1], match[2] or ""
    return Wei(int(whole) * AI + int(fraction.ljust(DECIMALS, "0")))


def format_ai(amount: int, epoch: Epoch | int = 0) -> str:
    """Return an amount in wei as decimal $AI without trailing zeros, `0.25 AI`.

    After splits the epoch that it is in is said as well, `0.25 AI (split epoch 1)`.
    """
    sign, amount = ("-", -amount) if amount < 0 else ("", amount)
    whole, fraction = divmod(amount, AI)
    digits = f"{fraction:0{DECIMALS}d}".rstrip("0")
    told = f" (split epoch {epoch})" if epoch else ""
    return f"{sign}{whole}{'.' + digits if digits else ''} AI{told}"
