"""How long a step of an engine takes: by plain rates, or by a roofline of a device and a model.

Roofline (Williams et al., CACM 2009) with few parameters: a step reads all weights once, and
computes with each of its tokens; it reads the keys and values of every sequence that decodes; a
prompt's tokens attend to those before them. devices.toml has the parameters, and their sources.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Protocol

import msgspec

from p2p_modelex.simulation.scenario.settings import Engine


class Device(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One machine, as engines see it.

    flops: a second, of prompts. decode_flops: of tokens that decode, which go one by one on some.
    bandwidth, kv_bandwidth: of weights, and of keys and values, bytes a second. overlap: 1 where
    reading and computing hide each other, 0 where they take turns. layer_us: of each layer, however
    little it does. load: bytes a second from where weights are kept. memory: bytes.
    """

    flops: float
    decode_flops: float
    bandwidth: float
    kv_bandwidth: float
    overlap: float
    layer_us: float
    load: float
    memory: float


class Size(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model. parameters: those that a token goes through. weights: bytes that a step reads.
    kv: bytes for each token of a sequence. heads: attention heads times their size.
    """

    parameters: float
    weights: float
    layers: int
    kv: int
    heads: int


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    device: dict[str, Device]
    size: dict[str, Size]


_TABLE = msgspec.convert(
    tomllib.loads(
        resources.files("p2p_modelex.simulation.models")
        .joinpath("devices.toml")
        .read_text(encoding="utf-8")
    ),
    _Table,
)
DEVICES: Mapping[str, Device] = _TABLE.device
SIZES: Mapping[str, Size] = _TABLE.size

KV_SHARE = 0.9
"""Of the memory that weights leave, what keys and values may take; vLLM's default."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one step does. running: sequences in it. decoding: those that go on by a token; context:
    what these read of keys and values, in tokens. prompt: tokens of prompts that are read; pairs:
    of such a token and one before it.
    """

    running: int
    decoding: int
    context: int
    prompt: int
    pairs: int


class Pace(Protocol):
    """How fast an engine is, and how much it holds."""

    @property
    def room(self) -> int:
        """Tokens whose keys and values fit."""
        ...

    @property
    def load_us(self) -> int:
        """How long its weights take to load."""
        ...

    def compute_s(self, step: Step) -> float:
        """Return the seconds of a step."""
        ...


class Plain:
    """Rates that a scenario gives: so much for a token, more for each further sequence."""

    def __init__(self, settings: Engine) -> None:
        self._settings = settings
        self.room = settings.kv or settings.context * settings.slots
        self.load_us = settings.cold_start or 0

    def compute_s(self, step: Step) -> float:
        """See Pace."""
        settings = self._settings
        crowd = 1.0 + settings.batching * (step.running - 1)
        return crowd / settings.decode + step.prompt / settings.prefill


class Roofline:
    """What a device and a model of a size make together."""

    def __init__(self, settings: Engine, device: Device, size: Size) -> None:
        self._device = device
        self._size = size
        self.room = settings.kv or compute_room(device, size)
        loads = int(size.weights / device.load * 1_000_000)
        self.load_us = loads if settings.cold_start is None else settings.cold_start

    def compute_s(self, step: Step) -> float:
        """See Pace."""
        device, size = self._device, self._size
        reads = size.weights / device.bandwidth
        computes = 2 * size.parameters * step.prompt / device.flops
        computes += 2 * size.parameters * step.decoding / device.decode_flops
        least, most = min(reads, computes), max(reads, computes)
        attends = size.kv * step.context / device.kv_bandwidth
        attends += 4 * size.layers * size.heads * step.pairs / device.flops
        fixed = device.layer_us * size.layers / 1_000_000
        return fixed + most + (1.0 - device.overlap) * least + attends


def compute_room(device: Device, size: Size) -> int:
    """Return the tokens whose keys and values fit beside the weights; 0 or less if none do."""
    return int((device.memory - size.weights) * KV_SHARE / size.kv)


def build_pace(settings: Engine) -> Pace:
    """Return the pace of an engine; its device and size are known (sense.py)."""
    if settings.device is None or settings.size is None:
        return Plain(settings)
    return Roofline(settings, DEVICES[settings.device], SIZES[settings.size])
