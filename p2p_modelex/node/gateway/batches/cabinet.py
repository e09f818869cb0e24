"""Where files and batches lie: a folder with each file's content, and a card for each thing.

What is on a card was durable before anybody was told. A content without a card is the output of a
batch that runs, or what a crash left of an upload, which is thrown away.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import structlog
import trio

from p2p_modelex.limits import MIB
from p2p_modelex.node.files import replace_file
from p2p_modelex.node.gateway.batches.shapes import Batch, FileObject

FILES_MAX = 256
BATCHES_MAX = 256
"""Batches remembered; the oldest that is over makes room."""
UNFINISHED_MAX = 16
OUTPUT_BYTES = 16 * MIB
"""Of results that a batch may write; a file goes out in one piece, in SEND_S at most."""
BYTES_MAX = 1024 * MIB
"""Of all files together, when one more is taken."""

log = structlog.get_logger(__name__)


class FileCard(msgspec.Struct, frozen=True):
    """A file and whose it is: a key's digest, or empty where there were no keys."""

    owner: str
    file: FileObject


class BatchCard(msgspec.Struct, frozen=True):
    """A batch and whose it is."""

    owner: str
    batch: Batch

    @property
    def is_over(self) -> bool:
        """Whether nothing of it will run any more."""
        return self.batch.status not in ("in_progress", "cancelling")


Card = TypeVar("Card", FileCard, BatchCard)


def name_outputs(batch_id: str) -> tuple[str, str]:
    """Return the ids of the files with a batch's results and with its errors."""
    number = batch_id.removeprefix("batch_")
    return f"file-{number}-output", f"file-{number}-errors"


class Cabinet:
    """Files and batches. What touches the disk raises OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.files: dict[str, FileCard] = {}
        self.batches: dict[str, BatchCard] = {}

    def load(self) -> None:
        """Read what there is; call once, first."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        files = _read_cards(self._folder.glob("*.file"), FileCard)
        self.files = {card.file.id: card for card in files}
        batches = _read_cards(self._folder.glob("*.batch"), BatchCard)
        self.batches = {card.batch.id: card for card in batches}
        kept = {*self.files}
        for card in batches:
            if not card.is_over:
                kept |= {*name_outputs(card.batch.id)}
        for path in self._folder.glob("*.content"):
            if path.stem not in kept:
                path.unlink()

    @property
    def has_room(self) -> bool:
        """Whether one more file may be taken, with the outputs of what runs still to come."""
        unfinished = sum(not card.is_over for card in self.batches.values())
        size = sum(card.file.bytes for card in self.files.values())
        return len(self.files) + 2 * unfinished < FILES_MAX and size < BYTES_MAX

    async def keep_file(self, card: FileCard, content: bytes | None) -> None:
        """Keep a file; durable when this returns. content: None where it is there already."""

        def write() -> None:
            if content is not None:
                replace_file(self._content_of(card.file.id), content)
            replace_file(self._folder / f"{card.file.id}.file", msgspec.json.encode(card))

        await trio.to_thread.run_sync(write)
        self.files[card.file.id] = card

    async def keep_batch(self, card: BatchCard) -> None:
        """Keep a batch as it is now; durable when this returns."""
        over = [one.batch.id for one in self.batches.values() if one.is_over]
        oldest = min(over, key=lambda name: self.batches[name].batch.created_at, default=None)
        is_full = card.batch.id not in self.batches and len(self.batches) >= BATCHES_MAX

        def write() -> None:
            replace_file(self._folder / f"{card.batch.id}.batch", msgspec.json.encode(card))
            if is_full and oldest is not None:
                (self._folder / f"{oldest}.batch").unlink(missing_ok=True)

        await trio.to_thread.run_sync(write)
        self.batches[card.batch.id] = card
        if is_full and oldest is not None:
            del self.batches[oldest]

    async def remove_file(self, name: str) -> None:
        """Forget a file."""

        def remove() -> None:
            (self._folder / f"{name}.file").unlink(missing_ok=True)
            self._content_of(name).unlink(missing_ok=True)

        del self.files[name]
        await trio.to_thread.run_sync(remove)

    async def read(self, name: str) -> bytes:
        """Return a file's content."""
        return await trio.to_thread.run_sync(self._content_of(name).read_bytes)

    async def append(self, name: str, line: bytes) -> None:
        """Add a line to a content that has no card yet; durable when this returns."""

        def write() -> None:
            with self._content_of(name).open("ab") as file:
                file.write(line + b"\n")
                file.flush()
                os.fsync(file.fileno())

        await trio.to_thread.run_sync(write)

    async def read_whole_lines(self, name: str) -> list[bytes]:
        """Return the lines of a content, none if there is none; what a crash cut off is dropped."""

        def read() -> list[bytes]:
            path = self._content_of(name)
            if not path.exists():
                return []
            content = path.read_bytes()
            whole = content.rfind(b"\n") + 1
            os.truncate(path, whole)
            return content[:whole].splitlines()

        return await trio.to_thread.run_sync(read)

    def _content_of(self, name: str) -> Path:
        return self._folder / f"{name}.content"


def _read_cards(paths: Iterable[Path], kind: type[Card]) -> list[Card]:
    cards = []
    for path in paths:
        try:
            card: Any = msgspec.json.decode(path.read_bytes(), type=kind)
        except msgspec.MsgspecError as error:
            log.warning("card_unreadable", file=str(path), reason=str(error))
        else:
            cards.append(card)
    return cards
