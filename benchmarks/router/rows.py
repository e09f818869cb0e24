"""Measuring one row after the other, so that one that cannot be had costs only itself."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import trio

from benchmarks.router.install import Missing
from p2p_modelex.errors import ModelexError

T = TypeVar("T")
Say = Callable[[str], None]


async def measure_each(
    names: Sequence[str], measure: Callable[[str], Awaitable[T]], say: Say
) -> tuple[dict[str, T], list[str]]:
    """Return what was measured by name, and why the others were not."""
    rows: dict[str, T] = {}
    reasons = []
    for name in names:
        say(name)
        try:
            rows[name] = await measure(name)
        except* (Missing, ModelexError, OSError, trio.TooSlowError) as group:
            reasons.append(f"{name}: {_first_of(group)}")
            say(f"skipped: {reasons[-1]}")
    return rows, reasons


def _first_of(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
