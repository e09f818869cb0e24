"""What a harness decides by: bytes read from the front, so that a fuzzer's small edits stay small.

Works without atheris, so that a corpus file means the same to `make test` and to `make fuzz`.
"""

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

# Where counters, lengths and amounts break.
EDGES = (
    *(0, 1, 2, 7, 8, 15, 16, 31, 32, 63, 64, 65, 127, 128, 255, 256, 1023, 1024, 4095, 4096),
    *(2**16 - 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1),
    *(-1, -32, -33, -128, -(2**31), -(2**63)),
)


class Choices:
    """Decisions out of bytes; once they are used up, every decision is the first one."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._content)

    def byte(self) -> int:
        if self._at >= len(self._content):
            return 0
        self._at += 1
        return self._content[self._at - 1]

    def below(self, bound: int) -> int:
        """A number from 0 up to, not including, `bound` (at most 65,536)."""
        if bound <= 1:
            return 0
        found = self.byte()
        if bound > 256:
            found = found << 8 | self.byte()
        return found % bound

    def chance(self, of_256: int) -> bool:
        """False once the bytes are used up, so that nothing goes on for ever."""
        return self.byte() >= 256 - of_256

    def pick(self, among: Sequence[T]) -> T:
        return among[self.below(len(among))]

    def integer(self) -> int:
        """An edge, or any number of up to eight bytes."""
        if self.chance(160):
            return self.pick(EDGES)
        return int.from_bytes(self.take(1 + self.below(8)), "big")

    def take(self, size: int) -> bytes:
        """At most `size` bytes."""
        found = self._content[self._at : self._at + size]
        self._at += size
        return found

    def some(self) -> bytes:
        """Up to 255 bytes."""
        return self.take(self.byte())

    def rest(self) -> bytes:
        return self.take(len(self._content))
