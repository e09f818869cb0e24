"""Modelex: a peer-to-peer exchange for language models."""

__version__ = "0.1.0"
