"""Whole programs against each other: real processes, libp2p, models and chain."""
