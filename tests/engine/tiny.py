"""A tiny llama model made on the spot: random weights, real format, any vocabulary we like."""

import random
from pathlib import Path

import gguf
import numpy as np

WIDTH, LAYERS, HEADS, SHARED, INNER, CONTEXT = 64, 2, 4, 2, 96, 512
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def vocabulary() -> tuple[list[str], list[float], list[int]]:
    """Return texts, scores and types: control tokens, all bytes, ASCII, and some pairs."""
    tokens = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
    types = [2, 3, 3, 3, 3]
    tokens += [f"<0x{byte:02X}>" for byte in range(256)]
    types += [6] * 256
    singles = ["▁", *(chr(code) for code in range(33, 127))]
    letters = "abcdefghijklmnopqrstuvwxyz"
    pairs = [a + b for a in "▁aeiou" for b in letters]
    tokens += singles + pairs
    types += [1] * (len(singles) + len(pairs))
    scores = [0.0] * 261 + [-1000.0 - i for i in range(len(singles))]
    scores += [-float(i + 1) for i in range(len(pairs))]
    return tokens, scores, types


def write_tiny(path: Path, *, seed: int = 1, template: str = TEMPLATE) -> Path:
    """Write a deterministic model of about 200 KB, Q8_0 with F32 norms."""
    tokens, scores, types = vocabulary()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(SHARED)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    if template:
        writer.add_chat_template(template)
    _add_weights(writer, len(tokens), seed)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_weights(writer: gguf.GGUFWriter, words: int, seed: int) -> None:
    rng = np.random.default_rng(random.Random(seed).getrandbits(64))

    def add(name: str, rows: int, columns: int) -> None:
        weights = rng.standard_normal((rows, columns)).astype(np.float32) / np.sqrt(columns)
        packed = gguf.quants.quantize(weights, gguf.GGMLQuantizationType.Q8_0)
        writer.add_tensor(name, packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)

    def add_norm(name: str) -> None:
        writer.add_tensor(name, np.ones(WIDTH, dtype=np.float32))

    narrow = WIDTH // HEADS * SHARED
    add("token_embd.weight", words, WIDTH)
    add_norm("output_norm.weight")
    add("output.weight", words, WIDTH)
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        add_norm(block + "attn_norm.weight")
        add(block + "attn_q.weight", WIDTH, WIDTH)
        add(block + "attn_k.weight", narrow, WIDTH)
        add(block + "attn_v.weight", narrow, WIDTH)
        add(block + "attn_output.weight", WIDTH, WIDTH)
        add_norm(block + "ffn_norm.weight")
        add(block + "ffn_gate.weight", INNER, WIDTH)
        add(block + "ffn_up.weight", INNER, WIDTH)
        add(block + "ffn_down.weight", WIDTH, INNER)
