"""Events as lines that people read."""

from collections.abc import Mapping
from typing import Any

import msgspec

from p2p_modelex.simulation.actors import director
from p2p_modelex.simulation.models import chain
from p2p_modelex.simulation.scenario.quantities import seconds

LINE_MAX = 240
"""Characters of an event; what is longer ends with dots."""
_BYTES_SHOWN = 4
_ITEMS_SHOWN = 6
_TEXT_SHOWN = 40
_PLACES = {director.NUMBER: "director", chain.NUMBER: "chain"}


def tell_event(at_us: int, number: int, event: Any, peers: Mapping[bytes, str]) -> str:
    """Return the line of an event: when, whose, what. peers: what to call them by their id."""
    whose = _PLACES.get(number, f"node {number}")
    line = f"{seconds(at_us):.6f} s {whose}: {_tell(event, peers)}"
    return line if len(line) <= LINE_MAX else line[: LINE_MAX - 3] + "..."


def _tell(value: Any, peers: Mapping[bytes, str]) -> str:
    match value:
        case bytes():
            return peers.get(value) or _tell_bytes(value, peers)
        case msgspec.Struct():
            fields = ((name, getattr(value, name)) for name in value.__struct_fields__)
            said = ", ".join(f"{name}={_tell(one, peers)}" for name, one in fields)
            return f"{type(value).__name__}({said})"
        case list() | tuple():
            said = ", ".join(_tell(one, peers) for one in value[:_ITEMS_SHOWN])
            return f"[{said}{', ...' if len(value) > _ITEMS_SHOWN else ''}]"
        case str() if len(value) > _TEXT_SHOWN:
            return repr(value[:_TEXT_SHOWN]) + "..."
    return repr(value)


def _tell_bytes(value: bytes, peers: Mapping[bytes, str]) -> str:
    """A frame as the list that it is; anything else by its first bytes."""
    if len(value) > 1 and (value[0] & 0xF0 == 0x90 or value[0] == 0xDC):
        try:
            return f"{len(value)} bytes {_tell(msgspec.msgpack.decode(value), peers)}"
        except (msgspec.DecodeError, ValueError):
            pass  # a key or a hash that begins like one
    shown = value[:_BYTES_SHOWN].hex()
    return shown if len(value) <= _BYTES_SHOWN else f"{shown}..{len(value)}"
