"""How likely a model found its own tokens, as it travels in a Chunk (protocols/exchange).

A logarithm of a probability is a whole number on the wire, its negative in millionths: so it is
finite, none is over 0, and both ends compare the same numbers.
"""

import math
from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta

from p2p_modelex import limits
from p2p_modelex.records.types import U32

_UNIT = 1_000_000
_SURPRISAL_MAX = 2**32 - 1

TokenBytes = Annotated[bytes, Meta(max_length=limits.TOKEN_BYTES)]


class Alternative(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False
):
    """A token that could have stood there. token: its bytes, the first TOKEN_BYTES of them.
    surprisal: -ln of its probability, in millionths.
    """

    token: TokenBytes
    surprisal: U32

    @property
    def logprob(self) -> float:
        """The natural logarithm of its probability."""
        return -self.surprisal / _UNIT


class TokenLogprob(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False
):
    """A token of the completion. top: the likeliest in its place, itself maybe among them, the
    likeliest first.
    """

    token: TokenBytes
    surprisal: U32
    top: Annotated[tuple[Alternative, ...], Meta(max_length=limits.TOP_LOGPROBS_MAX)]

    @property
    def logprob(self) -> float:
        """The natural logarithm of its probability."""
        return -self.surprisal / _UNIT


def build_logprob(
    token: bytes, logprob: float, top: Iterable[tuple[bytes, float]], most: int
) -> TokenLogprob:
    """Return what an engine says of a token, with at most the `most` likeliest of `top`."""
    others = [Alternative(_cut(one), _surprisal_of(said)) for one, said in top]
    others.sort(key=lambda one: one.surprisal)
    return TokenLogprob(_cut(token), _surprisal_of(logprob), tuple(others[:most]))


def _cut(token: bytes) -> bytes:
    return token[: limits.TOKEN_BYTES]


def _surprisal_of(logprob: float) -> int:
    """What is no number at all is as unlikely as can be said."""
    scaled = -logprob * _UNIT
    return round(min(max(scaled, 0), _SURPRISAL_MAX)) if math.isfinite(scaled) else _SURPRISAL_MAX
