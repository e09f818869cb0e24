"""Rewrite a llama model with a GPT-2 style vocabulary so that ctransformers 0.2.27 loads it.

The weights stay as they are, bit by bit. What changes: the output matrix, which such files share
with the embeddings, is written out; the vocabulary is spelt the SentencePiece way. SentencePiece
joins the pair whose joined token scores highest; with the score of a token set to minus the rank
of its merge, that is byte pair encoding's own order. What is lost is the splitting of text into
words before merging; tokens across words do not exist, so it rarely shows.
"""

from pathlib import Path

import gguf
import numpy as np

from p2p_modelex.engine.architecture import TEXT_BYTES, byte_token, vet_for_ctransformers
from p2p_modelex.engine.vetting import BYTE, CONTROL, NORMAL, Header, Value, read_header
from p2p_modelex.errors import ModelRejected

_SPACE = "\N{LOWER ONE EIGHTH BLOCK}"  # how SentencePiece writes a space
_FLOATS = ("llama.attention.layer_norm_rms_epsilon", "llama.rope.freq_base")
_INTEGERS = (
    "llama.context_length",
    "llama.embedding_length",
    "llama.block_count",
    "llama.feed_forward_length",
    "llama.attention.head_count",
    "llama.attention.head_count_kv",
    "llama.rope.dimension_count",
    "tokenizer.ggml.bos_token_id",
    "tokenizer.ggml.eos_token_id",
    "tokenizer.ggml.unknown_token_id",
)
_TEXTS = ("general.name", "general.license", "tokenizer.chat_template")


def rewrite_for_ctransformers(source: Path, target: Path) -> None:
    """Write `target` from `source`; the same source gives the same bytes.

    Raises ModelRejected if the source is not a llama model with a GPT-2 style vocabulary, or the
    result would still not load.
    """
    header = read_header(source)
    if header.architecture != "llama" or header.get_text("tokenizer.ggml.model") != "gpt2":
        raise ModelRejected("only llama models with a GPT-2 style vocabulary are rewritten")
    writer = gguf.GGUFWriter(target, "llama")
    _copy_metadata(writer, header)
    _write_vocabulary(writer, header)
    weights = np.memmap(source, dtype=np.uint8, mode="r")
    for name, tensor in header.tensors.items():
        raw = weights[tensor.offset : tensor.offset + tensor.size]
        kind = gguf.GGMLQuantizationType[tensor.type]
        rows = raw.reshape(*reversed(tensor.dimensions[1:]), -1)
        writer.add_tensor(name, rows, raw_dtype=kind)
        if name == "token_embd.weight" and "output.weight" not in header.tensors:
            writer.add_tensor("output.weight", rows, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    vet_for_ctransformers(read_header(target))


def _copy_metadata(writer: gguf.GGUFWriter, header: Header) -> None:
    for key in _INTEGERS:
        if (number := header.get_int(key)) >= 0:
            writer.add_uint32(key, number)
    for key in _FLOATS:
        if isinstance(value := header.metadata.get(key), float):
            writer.add_float32(key, value)
    for key in _TEXTS:
        if text := header.get_text(key):
            writer.add_string(key, text)
    writer.add_bool("tokenizer.ggml.add_bos_token", _flag(header, "tokenizer.ggml.add_bos_token"))
    writer.add_bool("tokenizer.ggml.add_space_prefix", False)


def _flag(header: Header, key: str) -> bool:
    value: Value | None = header.metadata.get(key)
    return bool(value)


def _write_vocabulary(writer: gguf.GGUFWriter, header: Header) -> None:
    alphabet = _byte_alphabet()
    ranks = _merge_ranks(header)
    spelt = [
        (token.encode(), kind) if kind == CONTROL else _spell(token, alphabet)
        for token, kind in zip(header.tokens, header.token_types, strict=True)
    ]
    _fill_in_bytes(spelt, header)
    writer.add_string("tokenizer.ggml.model", "llama")
    writer.add_token_list([text for text, _ in spelt])
    writer.add_token_scores([float(-ranks.get(token, len(ranks))) for token in header.tokens])
    writer.add_token_types([kind for _, kind in spelt])


def _spell(token: str, alphabet: dict[str, int]) -> tuple[bytes, int]:
    """Return a token's bytes and type; single bytes that are not visible become BYTE tokens."""
    try:
        raw = bytes(alphabet[character] for character in token)
    except KeyError:
        return token.encode(), NORMAL
    if len(raw) == 1 and not 32 <= raw[0] < 127:
        return byte_token(raw[0]).encode(), BYTE
    return raw.replace(b" ", _SPACE.encode()), NORMAL


def _fill_in_bytes(spelt: list[tuple[bytes, int]], header: Header) -> None:
    """Spell control tokens that the chat template never uses as the bytes without a token.

    The native code ends the process at a byte it has no token for. Bytes so rare that training
    made no token of them mean nothing to the model either way.
    """
    have = {text for text, _ in spelt}
    missing = [
        byte_token(byte).encode()
        for byte in TEXT_BYTES
        if byte_token(byte).encode() not in have and bytes([byte]) not in have | {b" "}
    ]
    template = header.get_text("tokenizer.chat_template")
    named = {
        header.get_int(f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos", "unknown")
    }
    spare = [
        number
        for number, (text, kind) in enumerate(spelt)
        if kind == CONTROL and number not in named and text.decode() not in template
    ]
    if len(spare) < len(missing):
        raise ModelRejected(f"the vocabulary has no token for {len(missing)} bytes")
    for number, text in zip(reversed(spare), missing, strict=False):
        spelt[number] = (text, BYTE)


def _merge_ranks(header: Header) -> dict[str, int]:
    merges = header.metadata.get("tokenizer.ggml.merges")
    if not isinstance(merges, list):
        raise ModelRejected("the vocabulary has no merges")
    ranks: dict[str, int] = {}
    for rank, merge in enumerate(merges):
        ranks.setdefault(str(merge).replace(" ", "", 1), rank)
    return ranks


def _byte_alphabet() -> dict[str, int]:
    """Return GPT-2's spelling of bytes: printable ones are themselves, others from U+0100 on."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    alphabet = {chr(byte): byte for byte in plain}
    others = (byte for byte in range(256) if byte not in plain)
    alphabet |= {chr(256 + place): byte for place, byte in enumerate(others)}
    return alphabet
