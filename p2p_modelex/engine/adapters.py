"""LoRA adapters: are they what they should be, and what is a model with them called?"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from p2p_modelex.engine.vetting import Header, read_header, vet_digest
from p2p_modelex.errors import ModelRejected
from p2p_modelex.ids import Digest


def compute_adapted_digest(base: Digest, adapters: Sequence[Path]) -> Digest:
    """Return the digest of a model with adapters applied: that of their digests in a row.

    Without adapters it is the model's own. Raises ModelRejected for a file that cannot be read.
    """
    if not adapters:
        return base
    digests = [vet_digest(path, None) for path in adapters]
    return Digest(hashlib.sha256(b"modelex/adapted/" + base + b"".join(digests)).digest())


def vet_adapters(header: Header, adapters: Sequence[Path]) -> None:
    """Raise ModelRejected unless the files are LoRA adapters of a model with this header.

    Each matrix has its two halves, and they fit the model's tensor: native code trusts them.
    """
    for path in adapters:
        found = read_header(path)
        if found.get_text("general.type") != "adapter" or found.get_text("adapter.type") != "lora":
            raise ModelRejected(f"{path.name} is no LoRA adapter")
        if found.architecture != header.architecture:
            raise ModelRejected(
                f"{path.name} is for {found.architecture} models, not for {header.architecture}"
            )
        _vet_halves(header, found, path.name)


def _vet_halves(header: Header, adapter: Header, name: str) -> None:
    if not adapter.tensors:
        raise ModelRejected(f"{name} holds no tensors")
    for tensor in adapter.tensors.values():
        whole, _, half = tensor.name.rpartition(".lora_")
        base, other = header.tensors.get(whole), f"{whole}.lora_{'b' if half == 'a' else 'a'}"
        if half not in ("a", "b") or base is None or other not in adapter.tensors:
            raise ModelRejected(f"{name}: tensor {tensor.name!r} is no half of a matrix there is")
        if half == "a":
            inner, outer = tensor.dimensions, adapter.tensors[other].dimensions
            is_matrix = len(inner) == len(outer) == len(base.dimensions) == 2
            if not is_matrix or (inner[0], outer[1], inner[1]) != (*base.dimensions, outer[0]):
                raise ModelRejected(f"{name}: {whole!r} does not fit the model")
