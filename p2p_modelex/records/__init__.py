"""Signed statements that travel between peers, and the wire forms of every message."""
