"""A nursery whose single failure is raised as itself, so that callers may catch it by class."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


@asynccontextmanager
async def open_flat_nursery() -> AsyncIterator[trio.Nursery]:
    """As `trio.open_nursery`, but an exception group of one is unwrapped."""
    try:
        async with trio.open_nursery() as nursery:
            yield nursery
    except BaseExceptionGroup as group:
        failure: BaseException = group
        while isinstance(failure, BaseExceptionGroup) and len(failure.exceptions) == 1:
            failure = failure.exceptions[0]
        raise failure from None
