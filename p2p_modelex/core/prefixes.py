"""What prompts have in common: how far one begins like another, turn by turn.

Engines keep what they have read of a prompt. A requester remembers whom it had read what, and a
provider how much of what came again its engines still had; neither tells the other any of it, but
for one number (Load.cached).
"""

import hashlib
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from p2p_modelex.records.job import Request

TURNS_MAX = 16
"""Ends of turns, the last ones, at which a prompt is compared."""

BOOK_MAX = 4096
"""Ends of turns remembered; the one noted longest ago is forgotten first."""

R = TypeVar("R", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Turn:
    """A prompt up to the end of a turn: its digest, and its share of the whole prompt's bytes."""

    digest: bytes
    share: float


def compute_turns(request: Request) -> tuple[Turn, ...]:
    """Return the ends of a prompt's turns, the whole prompt first."""
    digest = hashlib.sha256(f"{request.model}\0{request.tools}\0{request.text}".encode())
    size = len(request.tools) + len(request.text)
    found = [(digest.digest(), size)] if request.text else []
    first = len(request.messages) - TURNS_MAX
    for at, message in enumerate(request.messages):
        digest.update(f"\0{message.role}\0{message.content}".encode())
        size += len(message.content)
        if at >= first:
            found.append((digest.digest(), size))
    return tuple(Turn(one, length / max(size, 1)) for one, length in reversed(found))


class ReadBook(Generic[R]):
    """Who read a prompt last, by the ends of its turns."""

    def __init__(self) -> None:
        self._readers: dict[bytes, R] = {}

    def note(self, turns: tuple[Turn, ...], reader: R) -> None:
        """The reader has read this prompt."""
        for turn in reversed(turns):
            self._readers.pop(turn.digest, None)
            self._readers[turn.digest] = reader
        while len(self._readers) > BOOK_MAX:
            del self._readers[next(iter(self._readers))]

    def find(self, turns: tuple[Turn, ...]) -> tuple[R, float] | None:
        """Return who read the most of a prompt, and which share; None if nobody read any."""
        for turn in turns:
            reader = self._readers.get(turn.digest)
            if reader is not None:
                return reader, turn.share
        return None
