"""GGUF files of strangers: what the vetting lets through is consistent and within its bounds."""

import struct
from contextlib import suppress
from io import BytesIO
from typing import Any

from p2p_modelex.engine import vetting
from p2p_modelex.engine.architecture import vet_for_ctransformers
from p2p_modelex.engine.catalogue import engines_for
from p2p_modelex.engine.prompt import kinds_of
from p2p_modelex.engine.vetting import Header, special_tokens_of
from p2p_modelex.errors import ModelexError, ModelRejected
from tests.fuzz import trees
from tests.fuzz.choices import Choices

_U32, _F32, _I32, _TEXT, _ARRAY = 4, 6, 5, 8, 9
_TOKENS = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
METADATA: list[Any] = [
    ["general.architecture", _TEXT, "llama"],
    ["llama.context_length", _U32, 64],
    ["llama.embedding_length", _U32, 32],
    ["llama.block_count", _U32, 1],
    ["llama.feed_forward_length", _U32, 32],
    ["llama.attention.head_count", _U32, 2],
    ["llama.attention.head_count_kv", _U32, 1],
    ["tokenizer.ggml.model", _TEXT, "llama"],
    ["tokenizer.ggml.tokens", _ARRAY, [_TEXT, _TOKENS]],
    ["tokenizer.ggml.scores", _ARRAY, [_F32, [0] * len(_TOKENS)]],
    ["tokenizer.ggml.token_type", _ARRAY, [_I32, [2, 3, 3] + [6] * 256]],
    ["tokenizer.ggml.eos_token_id", _U32, 2],
    ["tokenizer.chat_template", _TEXT, "{{ messages[0]['content'] }}"],
]


def _tensors() -> list[Any]:
    words = len(_TOKENS)
    shapes: dict[str, tuple[int, ...]] = {}
    for name, shape in (("token_embd", (32, words)), ("output", (32, words))):
        shapes[f"{name}.weight"] = shape
    shapes["output_norm.weight"] = (32,)
    for name in ("attn_norm", "ffn_norm"):
        shapes[f"blk.0.{name}.weight"] = (32,)
    for name in ("attn_q", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        shapes[f"blk.0.{name}.weight"] = (32, 32)
    for name in ("attn_k", "attn_v"):
        shapes[f"blk.0.{name}.weight"] = (32, 16)
    return [[name, list(shape), 0, 0] for name, shape in shapes.items()]


TENSORS = _tensors()
_LIKE = (
    *(0, 1, 2, 3, 8, 9, 31, 32, 255, 1024, 1025, 2**31, 2**32 - 1, 2**63),
    *("llama", "gpt2", "\x00"),
)
# What the file claims to be long: the reader must not rely on what the header promises.
_SIZE = 1 << 20


def run(content: bytes) -> None:
    choices = Choices(content)
    if choices.chance(48):
        written, size = choices.rest(), len(content)
        written = b"GGUF" + written if len(written) % 2 else written
    else:
        metadata, tensors = list(METADATA), list(TENSORS)
        for _ in range(choices.below(3)):
            metadata = trees.bend(metadata, choices, _LIKE)
        for _ in range(choices.below(3)):
            tensors = trees.bend(tensors, choices, _LIKE)
        written = write(choices.pick((3, 3, 2, 1)), metadata, tensors)
        size = choices.pick((_SIZE, len(written), 0))
    with suppress(ModelRejected):
        header = vetting._read(vetting._Reader(BytesIO(written), size), size)
        check(header, size)


def check(header: Header, size: int) -> None:
    assert len(header.metadata) <= vetting.METADATA_MAX
    for tensor in header.tensors.values():
        assert 0 < tensor.offset <= tensor.offset + tensor.size <= size
    special_tokens_of(header)
    # As adopt: kinds are asked for once an engine was found.
    engines = engines_for(header)
    with suppress(ModelexError):
        kinds_of(header, ())
    if "ctransformers" in engines:
        vet_for_ctransformers(header)
        assert header.context_length > 0
        assert len(header.tokens) == len(header.token_types)


def write(version: int, metadata: Any, tensors: Any) -> bytes:
    """A GGUF header of plain values, as far as they can be written."""
    out = bytearray(b"GGUF" + struct.pack("<I", version))
    metadata = metadata if isinstance(metadata, list) else []
    tensors = tensors if isinstance(tensors, list) else []
    out += struct.pack("<QQ", len(tensors), len(metadata))
    for entry in metadata:
        with suppress(TypeError, ValueError, struct.error, OverflowError, LookupError):
            key, kind, value = entry
            out += _text(key) + struct.pack("<I", kind) + _value(kind, value)
    for entry in tensors:
        with suppress(TypeError, ValueError, struct.error, OverflowError):
            name, shape, kind, offset = entry
            packed = _text(name) + struct.pack("<I", len(shape))
            out += packed + struct.pack(f"<{len(shape)}QIQ", *shape, kind, offset)
    return bytes(out)


def _text(text: Any) -> bytes:
    raw = text if isinstance(text, bytes) else str(text).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(raw)) + raw


def _value(kind: int, value: Any) -> bytes:
    if kind == _TEXT:
        return _text(value)
    if kind == _ARRAY:
        inner, items = value
        return struct.pack("<IQ", inner, len(items)) + b"".join(_value(inner, x) for x in items)
    return struct.pack("<" + vetting._SCALARS[kind], value)
