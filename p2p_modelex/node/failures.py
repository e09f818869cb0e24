"""What a nursery's exception group is about, so that callers may catch one error by its class."""

from collections.abc import Iterator
from contextlib import contextmanager

import trio

from p2p_modelex.errors import ModelexError


def main_failure(group: BaseExceptionGroup[BaseException]) -> BaseException | None:
    """Return the failure that a group stands for; None if it is more than one.

    A keyboard interrupt comes first. What was only cancelled because of the failure does not
    count. Of several errors of ours the first stands for all; a bug among them is never hidden.
    """
    leaves = list(_leaves(group))
    for leaf in leaves:
        if isinstance(leaf, KeyboardInterrupt):
            return leaf
    failures = [leaf for leaf in leaves if not isinstance(leaf, trio.Cancelled)]
    bugs = [leaf for leaf in failures if not isinstance(leaf, ModelexError)]
    if len(bugs) > 1 or not failures:
        return None
    return (bugs or failures)[0]


@contextmanager
def flattened() -> Iterator[None]:
    """Raise the failure a group stands for as itself, where there is one."""
    try:
        yield
    except BaseExceptionGroup as group:
        failure = main_failure(group)
        if failure is None:
            raise
        raise failure from None


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for inner in group.exceptions:
        if isinstance(inner, BaseExceptionGroup):
            yield from _leaves(inner)
        else:
            yield inner
