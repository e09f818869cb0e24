"""What to run and how: the settings of one engine, as configuration gives them."""

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from p2p_modelex.ids import Digest
from p2p_modelex.records.advertisement import Kind

CONTEXT_DEFAULT = 4096
"""Tokens. A model made for more gets this unless asked: a long context's cache costs memory."""


def default_threads() -> int:
    """Return one thread fewer than there are cores.

    The native engines spin at barriers: with every core taken, one busy neighbour made
    ctransformers 17 times slower.
    """
    return max(1, len(os.sched_getaffinity(0)) - 1)


@dataclass(frozen=True, slots=True)
class UpstreamSpec:
    """A server that speaks the OpenAI API.

    url: where its API begins, such as http://127.0.0.1:8000/v1. model: its name there, empty for
    the one offered to peers. key_file: a file whose first line is the API key; key_variable: an
    environment variable that holds it; neither for none. dialect: a name of upstream/dialects, or
    auto. features: what it is to be tried for and offered with.
    """

    url: str
    model: str = ""
    key_file: Path | None = None
    key_variable: str = ""
    dialect: str = "auto"
    features: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """One engine with one model.

    engine: a name of the entry point groups in `registry`. model: the name offered to peers.
    path: the GGUF file; None for engines without one. weights: SHA-256 the file must have, or
    None for any. kinds: what to serve; empty means what the file itself shows (completion, and
    chat if it has a template). context_length: tokens for each request, 0 for the model's own up
    to CONTEXT_DEFAULT. threads: 0 for `default_threads()`. slots: requests run at once, where
    the engine can. waiting_max: requests queued before EngineBusy. gpu_layers: layers to put on
    a GPU; without a usable one the engine falls back to the CPU and says so. stall_s: seconds a
    running job may show no sign of life before the worker is killed; raise it for big models on
    slow machines. startup_s: seconds a model may take to load. restarts_max: restarts in a row
    before the engine gives up. upstream: where the model is, for the engine of that name.
    adapters: GGUF files of LoRA adapters, applied whole and in this order.
    """

    engine: str
    model: str
    path: Path | None = None
    weights: Digest | None = None
    kinds: tuple[Kind, ...] = ()
    context_length: int = 0
    threads: int = 0
    slots: int = 1
    waiting_max: int = 8
    gpu_layers: int = 0
    stall_s: float = 60.0
    startup_s: float = 120.0
    restarts_max: int = 5
    upstream: UpstreamSpec | None = None
    adapters: tuple[Path, ...] = ()


def encode_spec(spec: EngineSpec) -> str:
    """Return the JSON that a worker's command line carries."""
    return msgspec.json.encode(spec, enc_hook=str).decode()


def decode_spec(text: str) -> EngineSpec:
    """Undo encode_spec."""
    return msgspec.json.decode(text, type=EngineSpec, dec_hook=_decode_path)


def _decode_path(kind: type, value: object) -> object:
    return kind(value)
