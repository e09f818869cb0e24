"""Amounts across the token's 2:1 splits: an amount of epoch e is worth twice its number in e+1."""

from p2p_modelex.units import UINT128_MAX, Epoch


def rescale(amount: int, written: Epoch | int, wanted: Epoch | int) -> int:
    """Return `amount` of epoch `written` in the units of a later or the same epoch `wanted`.

    It stops at 2^128-1, which no real balance reaches, so that a hostile epoch costs no memory.
    """
    doublings = min(wanted - written, 128)
    return min(amount << doublings, UINT128_MAX)
