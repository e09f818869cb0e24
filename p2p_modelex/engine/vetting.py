"""Vet a GGUF file before any native code sees it: the engines crash on malformed ones.

Source: the GGUF specification (ggml-org/ggml, docs/gguf.md), versions 2 and 3. The reader is ours
because the reference readers trust counts and lengths found in the file.
"""

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from p2p_modelex import limits
from p2p_modelex.errors import ModelRejected
from p2p_modelex.ids import Digest

Value = int | float | bool | str | list["Value"]

# Bounds with room: the largest vocabularies have 262,144 tokens, the largest models some
# thousand tensors, and no header seen is over 20 MiB.
METADATA_MAX = 1024
TENSORS_MAX = 16_384
KEY_BYTES = 1024
STRING_BYTES = limits.MIB
ARRAY_MAX = 1_048_576
HEADER_BYTES = 64 * limits.MIB
DIMENSIONS_MAX = 4

_SCALARS = dict(zip((*range(8), 10, 11, 12), "BbHhIif?Qqd", strict=True))
STRING, ARRAY = 8, 9
UINT32, INT32, FLOAT32 = 4, 5, 6

# ggml tensor type: name, elements of a block, bytes of a block (ggml.h, ggml-common.h).
TENSOR_TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292), 16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1),
    25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2),
}  # fmt: skip

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
"""Token types of `tokenizer.ggml.token_type`."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One entry of the tensor table; dimensions fastest first, offset from the file's start."""

    name: str
    dimensions: tuple[int, ...]
    type: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Header:
    """Everything in a GGUF file but the weights themselves."""

    version: int
    metadata: dict[str, Value]
    tensors: dict[str, Tensor]
    array_types: dict[str, int] = field(default_factory=dict)
    """GGUF's type of the elements of each metadata entry that is an array."""

    def get_text(self, key: str, default: str = "") -> str:
        """Return a string value, or the default where the key is missing or of another type."""
        value = self.metadata.get(key)
        return value if isinstance(value, str) else default

    def get_int(self, key: str, default: int = -1) -> int:
        """Return an integer value, or the default where the key is missing or of another type."""
        value = self.metadata.get(key)
        return value if isinstance(value, int) else default

    @property
    def architecture(self) -> str:
        """Such as `llama`."""
        return self.get_text("general.architecture")

    @property
    def context_length(self) -> int:
        """Tokens the model was made for."""
        return self.get_int(f"{self.architecture}.context_length", 0)

    @property
    def tokens(self) -> list[str]:
        """The vocabulary's texts by id."""
        found = self.metadata.get("tokenizer.ggml.tokens")
        return [str(token) for token in found] if isinstance(found, list) else []

    @property
    def token_types(self) -> list[int]:
        """The vocabulary's types by id; see NORMAL and its neighbours."""
        found = self.metadata.get("tokenizer.ggml.token_type")
        return [kind for kind in found if isinstance(kind, int)] if isinstance(found, list) else []


def special_tokens_of(header: Header) -> dict[str, int]:
    """Return text and id of the tokens that only a template may write.

    Texts of one character and of white space, which some models define, are ordinary text.
    """
    return {
        text: number
        for number, (text, kind) in enumerate(zip(header.tokens, header.token_types, strict=False))
        if kind in (CONTROL, USER_DEFINED) and len(text) > 1 and not text.isspace()
    }


class _Reader:
    """Reads a header and refuses whatever is longer than the file or our bounds."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = min(size, HEADER_BYTES)
        self.array_type = 0
        """The element type of the array that was read last."""

    def take(self, count: int) -> bytes:
        if count > self._left:
            raise ModelRejected("the header ends early or is larger than 64 MiB")
        self._left -= count
        found = self._file.read(count)
        if len(found) != count:
            raise ModelRejected("the file ends inside its header")
        return found

    def scalar(self, code: str) -> int | float | bool:
        value: int | float | bool = struct.unpack(
            "<" + code, self.take(struct.calcsize("<" + code))
        )[0]
        return value

    def count(self, code: str, most: int, what: str) -> int:
        found = int(self.scalar(code))
        if found > most:
            raise ModelRejected(f"{what}: {found}, more than {most}")
        return found

    def string(self, most: int = STRING_BYTES, errors: str = "strict") -> str:
        try:
            return self.take(self.count("Q", most, "length of a string")).decode("utf-8", errors)
        except UnicodeDecodeError as error:
            raise ModelRejected("a string in the header is not UTF-8") from error

    def value(self, kind: int) -> Value:
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            return self._array()
        if kind not in _SCALARS:
            raise ModelRejected(f"metadata of unknown type {kind}")
        return self.scalar(_SCALARS[kind])

    def _array(self) -> Value:
        kind = self.array_type = int(self.scalar("I"))
        length = self.count("Q", ARRAY_MAX, "length of an array")
        if kind in _SCALARS:
            code = _SCALARS[kind]
            raw = self.take(length * struct.calcsize("<" + code))
            return list(struct.unpack(f"<{length}{code}", raw))
        if kind != STRING:
            raise ModelRejected(f"an array of unknown or nested type {kind}")
        # A token may be part of a character; its bytes survive as surrogates.
        return [self.string(errors="surrogateescape") for _ in range(length)]

    def position(self) -> int:
        return self._file.tell()


def read_header(path: Path) -> Header:
    """Read and check the structure of a GGUF file.

    Raises ModelRejected, naming what is wrong, if it is none, is damaged or cut off, or goes over
    our bounds. That a model of this architecture runs in an engine is `vet_for_llama`'s concern.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            return _read(_Reader(file, size), size)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> ModelRejected:
    return ModelRejected(
        f"cannot read {path}: {error.strerror}", hint="Check the path; `modelex models list`."
    )


def _read(reader: _Reader, size: int) -> Header:
    magic = reader.take(4)
    if magic != b"GGUF":
        raise ModelRejected(f"not a GGUF file: it begins with {magic!r}")
    version = int(reader.scalar("I"))
    if version not in (2, 3):
        raise ModelRejected(f"GGUF version {version}; 2 and 3 are read")
    tensor_count = reader.count("Q", TENSORS_MAX, "number of tensors")
    metadata: dict[str, Value] = {}
    array_types: dict[str, int] = {}
    for _ in range(reader.count("Q", METADATA_MAX, "number of metadata entries")):
        key = reader.string(KEY_BYTES)
        if key in metadata:
            raise ModelRejected(f"metadata key {key!r} appears twice")
        kind = int(reader.scalar("I"))
        metadata[key] = reader.value(kind)
        if kind == ARRAY:
            array_types[key] = reader.array_type
    table = [_read_tensor(reader) for _ in range(tensor_count)]
    tensors = _place(table, metadata, reader.position(), size)
    return Header(version, metadata, tensors, array_types)


def _read_tensor(reader: _Reader) -> Tensor:
    name = reader.string(KEY_BYTES)
    rank = reader.count("I", DIMENSIONS_MAX, f"dimensions of {name!r}")
    dimensions = tuple(int(reader.scalar("Q")) for _ in range(rank))
    kind, offset = int(reader.scalar("I")), int(reader.scalar("Q"))
    if kind not in TENSOR_TYPES:
        raise ModelRejected(f"tensor {name!r} is of unknown type {kind}")
    label, block, block_bytes = TENSOR_TYPES[kind]
    elements = 1
    for length in dimensions:
        if not 0 < length < 2**32:
            raise ModelRejected(f"tensor {name!r} has a dimension of {length}")
        elements *= length
    if not dimensions or dimensions[0] % block:
        raise ModelRejected(f"a row of tensor {name!r} is not whole blocks of {label}")
    return Tensor(name, dimensions, label, offset, elements // block * block_bytes)


def _place(
    table: list[Tensor], metadata: dict[str, Value], end: int, size: int
) -> dict[str, Tensor]:
    """Return the table with offsets from the start of the file, checked to lie inside it."""
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 8 <= alignment <= 65536 or alignment & (alignment - 1):
        raise ModelRejected(f"alignment {alignment!r} is not a power of two from 8 to 65536")
    start = -(-end // alignment) * alignment
    placed: dict[str, Tensor] = {}
    for tensor in table:
        offset = start + tensor.offset
        if tensor.offset % alignment or offset + tensor.size > size:
            raise ModelRejected(
                f"tensor {tensor.name!r} lies outside the file",
                hint="The file is cut off or damaged; add the model again.",
            )
        if tensor.name in placed:
            raise ModelRejected(f"tensor {tensor.name!r} appears twice")
        placed[tensor.name] = Tensor(
            tensor.name, tensor.dimensions, tensor.type, offset, tensor.size
        )
    return placed


def compute_digest(path: Path, *, on_bytes: Callable[[int], None] = lambda _: None) -> Digest:
    """Return the SHA-256 of a file; `on_bytes` is told how many bytes each step read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(limits.MIB):
            digest.update(block)
            on_bytes(len(block))
    return Digest(digest.digest())


def vet_digest(path: Path, expected: Digest | None) -> Digest:
    """Return the file's SHA-256; ModelRejected if it cannot be read or another one is expected."""
    try:
        found = compute_digest(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    if expected is not None and found != expected:
        raise ModelRejected(
            f"{path.name} has SHA-256 {found.hex()}, expected {expected.hex()}",
            hint="Remove the model and add it again.",
        )
    return found
