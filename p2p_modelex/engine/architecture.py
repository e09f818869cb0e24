"""Does a well-formed GGUF file hold a model our engines can run without harm?"""

from p2p_modelex.engine.vetting import FLOAT32, INT32, STRING, UINT32, Header, Tensor
from p2p_modelex.errors import ModelRejected

# What ctransformers 0.2.27 loads. Other types end in an error there, or worse.
CTRANSFORMERS_TYPES = frozenset(
    ["F32", "F16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]
)

# Every byte that UTF-8 text can hold (RFC 3629), but NUL, which no prompt has.
TEXT_BYTES = tuple(byte for byte in range(1, 0xF5) if byte not in (0xC0, 0xC1))

# The engines read these arrays as they expect them, whatever the file says they hold: one of
# single bytes would be read far past its end.
_ARRAYS = {
    "tokenizer.ggml.tokens": (STRING,),
    "tokenizer.ggml.merges": (STRING,),
    "tokenizer.ggml.scores": (FLOAT32,),
    "tokenizer.ggml.token_type": (INT32, UINT32),
}

_LAYERS_MAX = 1024
_CONTEXT_MAX = 2**24


def vet_vocabulary(header: Header) -> None:
    """Raise ModelRejected unless the vocabulary is there and its tables agree in length."""
    tokens = len(header.tokens)
    if not tokens:
        raise ModelRejected("the file has no vocabulary (tokenizer.ggml.tokens)")
    for key, types in _ARRAYS.items():
        if key in header.metadata and header.array_types.get(key) not in types:
            raise ModelRejected(f"{key} is an array of another type")
    for key in ("tokenizer.ggml.scores", "tokenizer.ggml.token_type"):
        table = header.metadata.get(key)
        if table is not None and (not isinstance(table, list) or len(table) != tokens):
            raise ModelRejected(f"{key} does not have one entry for each of {tokens} tokens")
    for name in ("bos", "eos", "unknown"):
        token = header.get_int(f"tokenizer.ggml.{name}_token_id")
        if token >= tokens and token != 2**32 - 1:
            raise ModelRejected(f"the {name} token {token} is not in the vocabulary")
    if not 0 < header.context_length <= _CONTEXT_MAX:
        raise ModelRejected(f"context length {header.context_length}")


def byte_token(byte: int) -> str:
    """Return how SentencePiece vocabularies spell the token of one byte."""
    return f"<0x{byte:02X}>"


def vet_for_ctransformers(header: Header) -> None:
    """Raise ModelRejected unless ctransformers 0.2.27 can load the file.

    It is of September 2023: llama architecture, SentencePiece vocabulary with scores and types,
    an output matrix of its own, old tensor types. Shapes are checked too: it trusts them.
    """
    hint = "The xllamacpp engine (extra `llamacpp`) runs newer files."
    if header.architecture != "llama":
        raise ModelRejected(
            f"architecture {header.architecture!r}; ctransformers runs llama", hint=hint
        )
    vet_vocabulary(header)
    if header.get_text("tokenizer.ggml.model") != "llama":
        raise ModelRejected("the tokenizer is not SentencePiece (`llama`)", hint=hint)
    for key in ("tokenizer.ggml.scores", "tokenizer.ggml.token_type"):
        if key not in header.metadata:
            raise ModelRejected(f"{key} is missing", hint=hint)
    _vet_bytes(header, hint)
    for tensor in header.tensors.values():
        if tensor.type not in CTRANSFORMERS_TYPES:
            raise ModelRejected(f"tensor {tensor.name!r} is {tensor.type}", hint=hint)
    _vet_shapes(header, hint)


def _vet_bytes(header: Header, hint: str) -> None:
    """Every byte needs a token: the native code ends the process at one without."""
    have = set(header.tokens)
    for byte in TEXT_BYTES:
        visible = 32 < byte < 127 and chr(byte) in have
        if not visible and byte_token(byte) not in have and byte != ord(" "):
            raise ModelRejected(f"the vocabulary has no token for byte 0x{byte:02X}", hint=hint)
    if byte_token(ord("\n")) not in have:
        raise ModelRejected("the vocabulary has no byte token for a line's end", hint=hint)


def _vet_shapes(header: Header, hint: str) -> None:
    expected = _expected_shapes(header)
    for name, shape in expected.items():
        tensor: Tensor | None = header.tensors.get(name)
        if tensor is None:
            raise ModelRejected(f"tensor {name!r} is missing", hint=hint)
        if tensor.dimensions != shape:
            raise ModelRejected(f"tensor {name!r} is {tensor.dimensions}, expected {shape}")
        if "norm" in name and tensor.type != "F32":
            raise ModelRejected(f"tensor {name!r} is {tensor.type}, expected F32", hint=hint)
    if extra := sorted(set(header.tensors) - set(expected)):
        raise ModelRejected(f"tensor {extra[0]!r} is not one of the llama architecture", hint=hint)


def _expected_shapes(header: Header) -> dict[str, tuple[int, ...]]:
    width = header.get_int("llama.embedding_length")
    inner = header.get_int("llama.feed_forward_length")
    layers = header.get_int("llama.block_count")
    heads = header.get_int("llama.attention.head_count")
    shared = header.get_int("llama.attention.head_count_kv", heads)
    if min(width, inner, layers, heads, shared) < 1 or layers > _LAYERS_MAX:
        raise ModelRejected("a size of the llama architecture is missing or out of range")
    if width % heads or heads % shared:
        raise ModelRejected(f"{heads} heads ({shared} shared) do not divide a width of {width}")
    if header.get_int("llama.rope.dimension_count", width // heads) != width // heads:
        raise ModelRejected("rope dimensions differ from the size of a head")
    narrow = width // heads * shared
    words = len(header.tokens)
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (width, words),
        "output_norm.weight": (width,),
        "output.weight": (width, words),
    }
    for layer in range(layers):
        shapes |= {
            f"blk.{layer}.{part}.weight": shape
            for part, shape in (
                ("attn_norm", (width,)),
                ("attn_q", (width, width)),
                ("attn_k", (width, narrow)),
                ("attn_v", (width, narrow)),
                ("attn_output", (width, width)),
                ("ffn_norm", (width,)),
                ("ffn_gate", (width, inner)),
                ("ffn_up", (width, inner)),
                ("ffn_down", (inner, width)),
            )
        }
    return shapes
