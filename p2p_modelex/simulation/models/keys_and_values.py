"""An engine's memory of what it has read: blocks of running sequences, and prefixes that stay.

As vLLM keeps it (Kwon et al., SOSP 2023): blocks of 16 tokens; what a sequence leaves behind stays
until somebody needs the room, the least recently used going first and the ends of a prompt before
its beginning. Prompts are compared turn by turn, so a block here is of one turn.
"""

from collections import OrderedDict
from dataclasses import dataclass

from p2p_modelex.core.prefixes import Turn

BLOCK = 16
"""Tokens; only whole blocks are kept for others."""


def count_blocks(tokens: int) -> int:
    """Return the blocks that hold so many tokens."""
    return -(-tokens // BLOCK)


@dataclass(slots=True, eq=False)
class _Kept:
    """A prompt up to the end of a turn. end: tokens from the beginning, in whole blocks. blocks:
    its own, without what is before. users: sequences that run on it.
    """

    end: int
    blocks: int
    before: bytes | None
    users: int = 0


class Memory:
    """Blocks of one engine. What `pin` returns is held by a sequence until `unpin`."""

    def __init__(self, tokens: int) -> None:
        self._free = tokens // BLOCK
        # The least recently used first; what a prompt begins with after its end.
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()

    def find(self, turns: tuple[Turn, ...]) -> tuple[bytes | None, int]:
        """Return the longest beginning of a prompt that is kept, and its tokens."""
        for turn in turns:
            kept = self._kept.get(turn.digest)
            if kept is not None:
                return turn.digest, kept.end
        return None, 0

    def take(self, blocks: int) -> bool:
        """Take blocks, in the place of what is kept and nobody uses; False if there are too few."""
        if self._free < blocks:
            self._evict(blocks)
        if self._free < blocks:
            return False
        self._free -= blocks
        return True

    def give(self, blocks: int) -> None:
        """Give blocks back."""
        self._free += blocks

    def _evict(self, blocks: int) -> None:
        while self._free < blocks:
            oldest = next((name for name, kept in self._kept.items() if not kept.users), None)
            if oldest is None:
                return
            self._free += self._kept.pop(oldest).blocks

    def pin(self, digest: bytes | None) -> None:
        """A sequence runs on a prefix, and on all before it."""
        while digest is not None:
            kept = self._kept[digest]
            kept.users += 1
            digest = kept.before

    def unpin(self, digest: bytes | None) -> None:
        """And no more. The beginning of a prompt is then the last of it to go."""
        while digest is not None:
            self._kept.move_to_end(digest)
            kept = self._kept[digest]
            kept.users -= 1
            digest = kept.before

    def keep(self, digest: bytes, tokens: int, before: bytes | None) -> tuple[int, int]:
        """Keep what a sequence has read up to the end of a turn, out of its own blocks, and pinned
        by it instead of `before`. Returns how many of its blocks became those of all, and the
        tokens that it now shares.
        """
        start = 0 if before is None else self._kept[before].end
        known = self._kept.get(digest)
        if known is not None:  # another sequence has read the same meanwhile
            self.pin(digest)
            self.unpin(before)
            blocks = max(0, known.end - start) // BLOCK
            self._free += blocks
            return blocks, known.end
        end = max(start, tokens // BLOCK * BLOCK)
        blocks = (end - start) // BLOCK
        self._kept[digest] = _Kept(end, blocks, before, users=1)
        return blocks, end
