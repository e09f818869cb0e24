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

# As Qwen's and Hermes's, without their words.
TOOLS_TEMPLATE = (
    "{%- if tools %}<|im_start|>system\n{%- for tool in tools %}{{ tool | tojson }}\n{%- endfor %}"
    "<tool_call></tool_call><|im_end|>\n{%- endif %}"
    "{%- for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}"
    "{%- for call in message.tool_calls or [] %}<tool_call>"
    '{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}'
    "</tool_call>{%- endfor %}<|im_end|>\n{%- endfor %}<|im_start|>assistant\n"
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
    writer = _start(path)
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
    return _finish(writer, path)


def write_tiny_gpt2(path: Path, *, spare: int = 8) -> Path:
    """Write a model as the converters of 2025 do: GPT-2 vocabulary, output shared with input.

    Like SmolLM2's, the vocabulary lacks some bytes and has `spare` control tokens nobody uses.
    """
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [chr(256 + place) for place in range(256 - len(plain))]
    missing = {chr(256 + 4), chr(256 + 6), chr(0xF1), chr(0xC0)}
    singles = [text for text in [*map(chr, plain), *others] if text not in missing]
    space = "\u0120"
    merges = ["t h", "th e", f"{space} q", f"{space}q u", "i c", f"{space} the"]
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokens += [f"<spare_{number}>" for number in range(spare)]
    types = [3] * len(tokens) + [1] * (len(singles) + len(merges))
    tokens += singles + [merge.replace(" ", "") for merge in merges]
    writer = _start(path)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    _add_weights(writer, len(tokens), seed=2, tied=True)
    return _finish(writer, path)


def _start(path: Path) -> gguf.GGUFWriter:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(SHARED)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    return writer


def _finish(writer: gguf.GGUFWriter, path: Path) -> Path:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_adapter(
    path: Path,
    *,
    rows: int = WIDTH,
    kind: str = "lora",
    architecture: str = "llama",
    half: str = "",
) -> Path:
    """Write a LoRA adapter of rank 4 for the tiny model's first query matrix.

    rows: of the outer half, which must be the model's width. half: leave the other one out.
    """
    rng = np.random.default_rng(1)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", kind)
    writer.add_float32("adapter.lora.alpha", 64.0)
    for name, shape in (("a", (4, WIDTH)), ("b", (rows, 4))):
        if half in ("", name):
            weights = rng.standard_normal(shape).astype(np.float32)
            writer.add_tensor(f"blk.0.attn_q.weight.lora_{name}", weights)
    return _finish(writer, path)


def _add_weights(writer: gguf.GGUFWriter, words: int, seed: int, *, tied: bool = False) -> None:
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
    if not tied:
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
