import random
import struct
from contextlib import suppress
from pathlib import Path

import gguf
import pytest

from p2p_modelex.engine.architecture import vet_for_ctransformers, vet_vocabulary
from p2p_modelex.engine.vetting import Header, compute_digest, read_header, vet_digest
from p2p_modelex.errors import ModelRejected


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def header(
    *entries: bytes,
    tensors: tuple[bytes, ...] = (),
    counts: tuple[int, int] | None = None,
    version: int = 3,
    magic: bytes = b"GGUF",
) -> bytes:
    tensor_count, entry_count = counts or (len(tensors), len(entries))
    start = magic + struct.pack("<IQQ", version, tensor_count, entry_count)
    return start + b"".join(entries) + b"".join(tensors)


def entry(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def tensor(name: str, dimensions: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    sizes = struct.pack(f"<{len(dimensions)}Q", *dimensions)
    return (
        text(name) + struct.pack("<I", len(dimensions)) + sizes + struct.pack("<IQ", kind, offset)
    )


BAD = {
    "empty": (b"", "ends early"),
    "magic": (header(magic=b"GGML"), "not a GGUF file"),
    "version 1": (header(version=1), "version 1"),
    "version 4": (header(version=4), "version 4"),
    "big endian": (b"GGUF" + struct.pack(">I", 3) + bytes(16), "version"),
    "tensors": (header(counts=(2**40, 0)), "number of tensors"),
    "entries": (header(counts=(0, 2**63)), "metadata entries"),
    "cut": (header(counts=(0, 1)), "ends early"),
    "twice": (header(entry("a", 4, bytes(4)), entry("a", 4, bytes(4))), "twice"),
    "type": (header(entry("a", 99, bytes(4))), "unknown type 99"),
    "string": (header(entry("a", 8, struct.pack("<Q", 2**62))), "length of a string"),
    "long key": (header(text("k" * 2000)), "length of a string"),
    "not UTF-8": (header(entry("a", 8, struct.pack("<Q", 1) + b"\xff")), "not UTF-8"),
    "array": (header(entry("a", 9, struct.pack("<IQ", 4, 2**61))), "length of an array"),
    "cut array": (header(entry("a", 9, struct.pack("<IQ", 4, 1000))), "ends early"),
    "nested": (header(entry("a", 9, struct.pack("<IQ", 9, 1))), "nested"),
    "rank": (header(tensors=(tensor("t", (1,) * 5),)), "dimensions of"),
    "no rank": (header(tensors=(tensor("t", ()),)), "whole blocks"),
    "zero": (header(tensors=(tensor("t", (0,)),)), "dimension of 0"),
    "huge": (header(tensors=(tensor("t", (2**31,) * 4),)), "outside the file"),
    "tensor type": (header(tensors=(tensor("t", (32,), kind=4),)), "unknown type 4"),
    "block": (header(tensors=(tensor("t", (33,), kind=8),)), "whole blocks of Q8_0"),
    "outside": (header(tensors=(tensor("t", (32,), offset=2**50),)), "outside the file"),
    "unaligned": (header(tensors=(tensor("t", (1,), offset=1),)) + bytes(99), "outside the file"),
    "same": (header(tensors=(tensor("t", (1,)), tensor("t", (1,)))) + bytes(99), "appears twice"),
    "alignment": (header(entry("general.alignment", 4, bytes(4))), "alignment 0"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_malformed_headers_are_named(case: str, tmp_path: Path) -> None:
    raw, why = BAD[case]
    path = tmp_path / "bad.gguf"
    path.write_bytes(raw)
    with pytest.raises(ModelRejected, match=why):
        read_header(path)


def test_a_missing_file_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ModelRejected, match="cannot read"):
        read_header(tmp_path / "none.gguf")
    with pytest.raises(ModelRejected, match="cannot read"):
        read_header(tmp_path)


@pytest.mark.parametrize("seed", range(3))
def test_damaged_files_are_read_or_rejected_and_nothing_else(
    seed: int, tiny: Path, tmp_path: Path
) -> None:
    rng = random.Random(seed)
    whole = tiny.read_bytes()
    path = tmp_path / "damaged.gguf"
    for _ in range(60):
        damaged = bytearray(whole[: rng.choice((len(whole), rng.randrange(12_000)))])
        for _ in range(rng.randrange(1, 8)):
            if damaged:
                damaged[rng.randrange(min(len(damaged), 12_000))] = rng.randrange(256)
        path.write_bytes(damaged)
        with suppress(ModelRejected):
            vet_for_ctransformers(read_header(path))


def test_agrees_with_the_reference_reader(sentiment: Path) -> None:
    ours, theirs = read_header(sentiment), gguf.GGUFReader(sentiment)
    assert list(ours.tensors) == [tensor.name for tensor in theirs.tensors]
    for reference in theirs.tensors:
        tensor = ours.tensors[reference.name]
        assert tensor.dimensions == tuple(reference.shape.tolist())
        assert (tensor.offset, tensor.size) == (reference.data_offset, reference.n_bytes)
    tokens = theirs.fields["tokenizer.ggml.tokens"].contents()
    assert ours.tokens == tokens
    assert ours.context_length == 256
    for size in ours.tensors.values():
        assert size.type in ("F32", "Q8_0")


def changed(
    original: Header, *, drop: str = "", drop_tensor: str = "", **metadata: object
) -> Header:
    entries = {k: v for k, v in original.metadata.items() if k != drop}
    entries.update({key.replace("__", "."): value for key, value in metadata.items()})  # type: ignore[misc]
    tensors = {k: v for k, v in original.tensors.items() if k != drop_tensor}
    return Header(original.version, entries, tensors, original.array_types)


def without(original: Header, token: str) -> Header:
    tokens = [text if text != token else "other" for text in original.tokens]
    return changed(original, tokenizer__ggml__tokens=tokens)


def test_only_what_ctransformers_can_run_passes(tiny: Path) -> None:
    good = read_header(tiny)
    vet_for_ctransformers(good)
    cases = [
        (changed(good, general__architecture="qwen2"), "architecture 'qwen2'"),
        (changed(good, tokenizer__ggml__model="gpt2"), "not SentencePiece"),
        (changed(good, drop="tokenizer.ggml.scores"), "scores is missing"),
        (changed(good, tokenizer__ggml__scores=[0.0]), "one entry for each"),
        (changed(good, tokenizer__ggml__bos_token_id=10**6), "bos token"),
        (changed(good, drop="tokenizer.ggml.tokens"), "no vocabulary"),
        (changed(good, llama__context_length=0), "context length"),
        (without(good, "<0x0A>"), "byte 0x0A"),
        (without(good, "<0xE6>"), "byte 0xE6"),
        (changed(good, drop_tensor="output.weight"), "'output.weight' is missing"),
        (changed(good, llama__block_count=1), "not one of the llama"),
        (changed(good, llama__block_count=10**9), "out of range"),
        (changed(good, llama__attention__head_count=3), "do not divide"),
        (changed(good, llama__rope__dimension_count=8), "rope"),
        (changed(good, llama__feed_forward_length=128), "expected"),
    ]
    for header_, why in cases:
        with pytest.raises(ModelRejected, match=why):
            vet_for_ctransformers(header_)
    vet_vocabulary(changed(good, drop_tensor="output.weight"))


def test_digests(tiny: Path) -> None:
    seen: list[int] = []
    digest = compute_digest(tiny, on_bytes=seen.append)
    assert sum(seen) == tiny.stat().st_size
    assert vet_digest(tiny, digest) == vet_digest(tiny, None) == digest
    with pytest.raises(ModelRejected, match="expected 0101"):
        vet_digest(tiny, b"\1" * 32)  # type: ignore[arg-type]
