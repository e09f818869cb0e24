"""Modelex: a peer-to-peer exchange for language models."""

from typing import Any

__version__ = "0.1.0"
__all__ = ["Completion", "Exchange", "Template", "Terms", "build_request", "connect"]


def __getattr__(name: str) -> Any:
    """Give the library's names without importing it where only the version is wanted."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from p2p_modelex.node import exchange

    return getattr(exchange, name)
