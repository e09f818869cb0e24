"""Lists by pages, as OpenAI's libraries walk through them: `after` is the last id of the page
before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from p2p_modelex.node.gateway.refusal import Refusal


class _Listed(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def created_at(self) -> int: ...


L = TypeVar("L", bound=_Listed)


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is wanted. after: an id, empty for the beginning."""

    after: str
    limit: int
    is_newest_first: bool


def read_page(query: Mapping[str, str], *, default: int, most: int) -> Page:
    """Read what a request says; without a limit `default`, `most` at most. Raises Refusal."""
    text = query.get("limit", str(default))
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if not 1 <= limit <= most:
        raise _wrong("limit", f"a whole number, 1 to {most}")
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise _wrong("order", "asc or desc")
    return Page(query.get("after", ""), limit, order == "desc")


def cut(items: Sequence[L], page: Page) -> tuple[list[L], bool]:
    """Return the page, and whether there is more. Raises Refusal if `after` is not in the list."""
    ordered = sorted(
        items, key=lambda item: (item.created_at, item.id), reverse=page.is_newest_first
    )
    start = 0
    if page.after:
        start = 1 + next((at for at, item in enumerate(ordered) if item.id == page.after), -1)
        if not start:
            raise _wrong("after", "an id of the list")
    end = start + page.limit
    return ordered[start:end], end < len(ordered)


def _wrong(name: str, wanted: str) -> Refusal:
    return Refusal(400, "invalid_value", f"{name}: {wanted}", param=name)
