"""The inputs of a map: read line by line, never all at once; what is wrong names its line."""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import msgspec
import trio

from p2p_modelex.errors import BadInput
from p2p_modelex.node.mapping.template import Fields, Template
from p2p_modelex.records import codec
from p2p_modelex.records.job import Request

LINE_BYTES = 1024 * 1024
BATCH = 64
"""Lines for which a thread is asked at once."""
DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Prompt:
    """An input, filled in. number: from 0. name: its own `id`, if it has one."""

    number: int
    name: str | int | None
    request: Request

    @property
    def digest(self) -> bytes:
        """What tells it from another that might stand in its place."""
        content = codec.encode(self.request) + msgspec.json.encode(self.name)
        return hashlib.sha256(content).digest()[:DIGEST_BYTES]


def build_prompt(number: int, fields: Fields, template: Template) -> Prompt:
    """Raises BadInput if a field is missing, `id` is no name, or the request is out of bounds."""
    name = fields.get("id")
    if not (name is None or (isinstance(name, str | int) and not isinstance(name, bool))):
        raise BadInput("its id is neither a text nor a whole number")
    return Prompt(number, name, template.fill(fields))


async def build_prompts(
    inputs: Iterable[Fields] | AsyncIterable[Fields], template: Template
) -> AsyncGenerator[Prompt, None]:
    """Fill the template with each of the inputs. Raises BadInput, naming the input."""
    number = 0
    async with aclosing(_iterate(inputs)) as iterated:
        async for fields in iterated:
            try:
                yield build_prompt(number, fields, template)
            except BadInput as error:
                raise BadInput(f"input {number}: {error.message}", hint=error.hint) from error
            number += 1


async def _iterate(
    inputs: Iterable[Fields] | AsyncIterable[Fields],
) -> AsyncGenerator[Fields, None]:
    if isinstance(inputs, AsyncIterable):
        async for fields in inputs:
            yield fields
        return
    for fields in inputs:
        yield fields


def read_prompts(file: BinaryIO, name: str, template: Template) -> Iterator[Prompt]:
    """Read JSON objects, one a line. Raises BadInput, naming file and line."""
    number = 0
    for line, text in enumerate(_read_lines(file, name), 1):
        if text.isspace():
            continue
        try:
            prompt = build_prompt(number, _decode(text), template)
        except BadInput as error:
            raise BadInput(f"{name}:{line}: {error.message}", hint=error.hint) from error
        yield prompt
        number += 1


def check_prompts(path: Path, template: Template) -> int:
    """Read a whole file and return how many prompts it has. Raises BadInput, naming the line."""
    with open_inputs(path) as file:
        return sum(1 for _ in read_prompts(file, str(path), template))


def open_inputs(path: Path) -> BinaryIO:
    """Open a file of inputs. Raises BadInput."""
    try:
        return path.open("rb")
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}") from error


async def in_batches(prompts: Iterator[Prompt], batch: int) -> AsyncGenerator[Prompt, None]:
    """Give what is read in threads; `batch` of 1 waits for one line only."""
    while True:
        # The stubs know an older Trio. Who waits for a terminal's line must not outlast Ctrl-C.
        some = await trio.to_thread.run_sync(  # type: ignore[call-arg]
            _take, prompts, batch, abandon_on_cancel=True
        )
        for prompt in some:
            yield prompt
        if not some:
            return


def _take(prompts: Iterator[Prompt], count: int) -> list[Prompt]:
    return list(islice(prompts, count))


def _read_lines(file: BinaryIO, name: str) -> Iterator[bytes]:
    line = 1
    while text := file.readline(LINE_BYTES + 1):
        if len(text) > LINE_BYTES:
            raise BadInput(f"{name}:{line}: it has more than {LINE_BYTES} bytes")
        yield text
        line += 1


def _decode(text: bytes) -> Fields:
    try:
        return msgspec.json.decode(text, type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(
            f"it is no JSON object: {error}", hint="write one object a line, and nothing else"
        ) from error
