"""The manifest of a data block: the list of its files, whose digest stands on chain.

A line of text for each file, in the order of their paths' UTF-8 bytes, after the format's name:

    modelex-manifest/1
    <SHA-256, 64 hex digits> <bytes> <path>

The path is relative, with `/`, without control characters. Each line ends with a newline. The same
files give the same bytes on every machine, whatever their times, modes and owners are.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from p2p_modelex.errors import BadInput
from p2p_modelex.ids import Digest

FORMAT = "modelex-manifest/1"
FILES_MAX = 100_000
PATH_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Part:
    """A file of a block. sha256: of its content. size: bytes."""

    path: str
    size: int
    sha256: Digest

    def __post_init__(self) -> None:
        """Raise BadInput for a path that the manifest cannot name."""
        names = self.path.split("/")
        if not self.path.isprintable() or not self.path or {"", ".", ".."} & set(names):
            raise BadInput(
                f"a manifest cannot name {self.path[:80]!r}",
                hint="rename the file: relative, printable, without empty or dotted parts",
            )
        if len(self.path.encode()) > PATH_BYTES:
            raise BadInput(
                f"a path in a manifest has at most {PATH_BYTES} bytes", hint="give shorter names"
            )


def encode_manifest(parts: Sequence[Part]) -> bytes:
    """Return the manifest of these files, in whatever order; BadInput if there are none, too many,
    or two of a path.
    """
    if not 0 < len(parts) <= FILES_MAX:
        raise BadInput(f"a block has 1 to {FILES_MAX} files, not {len(parts)}")
    ordered = sorted(parts, key=lambda part: part.path.encode())
    if len({part.path for part in ordered}) < len(ordered):
        raise BadInput("two files of a block have one path")
    lines = [f"{part.sha256.hex()} {part.size} {part.path}" for part in ordered]
    return "".join(f"{line}\n" for line in (FORMAT, *lines)).encode()


def compute_digest(manifest: bytes) -> Digest:
    """Return what stands on chain for a manifest: its SHA-256."""
    return Digest(hashlib.sha256(manifest).digest())
