"""The family of a model, read off its name: what is before its size or its quantisation."""

import re
from functools import lru_cache

FAMILY = "family:"
"""What a request's model begins with that asks for any model of a family."""
NAMES_KEPT = 4096
_PART = re.compile(
    r"\d+(\.\d+)?[bmk]|\d+x\d+(\.\d+)?b|a\d+(\.\d+)?b|i?q\d\w*|[bt]?f(p|loat)?\d+|int\d+"
    r"|awq|gptq|gguf|ggml|mlx|exl\d",
    re.IGNORECASE,
)


@lru_cache(NAMES_KEPT)
def family_of(model: str) -> str:
    """Return the parts of a name before the first that is a size (`8b`, `135m`, `8x7b`) or a
    quantisation (`q4_k_m`, `f16`, `awq`), in lower case; the whole name if none or the first is.

    `SmolLM2-135M-Instruct` and `smollm2-1.7b-q4_k_m` are both `smollm2`.
    """
    parts = model.lower().split("-")
    for at, part in enumerate(parts):
        if at and _PART.fullmatch(part):
            return "-".join(parts[:at])
    return model.lower()


def split_model(model: str) -> tuple[str | None, str | None]:
    """Return the model's name, or the family, that a request asks for; the other is None."""
    if model.startswith(FAMILY):
        return None, model.removeprefix(FAMILY).lower()
    return model, None
