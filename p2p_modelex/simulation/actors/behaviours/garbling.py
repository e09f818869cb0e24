"""A node whose every eighth message is wrong somewhere: the fuzzer among the adversaries.

Cores send only what makes sense, liars too but for their one lie. What takes bad lengths, foreign
fields and repeated frames on the wire is tried by this one.
"""

import random
import zlib
from typing import TYPE_CHECKING, Any

import msgspec

from p2p_modelex.core import effects as fx

if TYPE_CHECKING:
    from p2p_modelex.simulation.nodes.life import Life

GOOD = 7
"""Messages that are as they should be, for each that is not: some jobs and sessions come far."""
_DEPTH_MAX = 8


def garble(life: "Life", effect: fx.Effect) -> fx.Effect | None:
    """Change, cut, repeat or leave out a message now and then."""
    if not isinstance(effect, fx.Send | fx.Publish) or not effect.payload:
        return effect
    luck = zlib.crc32(effect.payload + life.kernel.now.to_bytes(8, "big"))
    if luck % (GOOD + 1):
        return effect
    rng = random.Random(luck)  # noqa: S311 - the same in each run
    way = rng.randrange(8)
    if way == 0:
        return None
    if way == 1 and isinstance(effect, fx.Send):
        life.wires.send(effect, life.kernel.now)  # comes twice
        return effect
    return msgspec.structs.replace(effect, payload=_spoil(rng, effect.payload, way))


def _spoil(rng: random.Random, payload: bytes, way: int) -> bytes:
    if way == 2:
        return payload[: rng.randrange(len(payload))]
    if way > 3:
        try:
            return msgspec.msgpack.encode(_change(rng, msgspec.msgpack.decode(payload), _DEPTH_MAX))
        except (msgspec.MsgspecError, OverflowError):
            pass  # no message of ours
    at = rng.randrange(len(payload))
    return payload[:at] + bytes([payload[at] ^ 1 << rng.randrange(8)]) + payload[at + 1 :]


def _change(rng: random.Random, value: Any, depth: int) -> Any:
    """Change one thing in a decoded message."""
    match value:
        case [*items] if items and depth and rng.random() < 0.9:
            at = rng.randrange(len(items))
            items[at] = _change(rng, items[at], depth - 1)
            return items
        case [*items]:
            return items[:-1] if rng.random() < 0.5 else [*items, *items[-1:]]
        case bool():
            return not value
        case int():
            return rng.choice((0, 1, value + 1, abs(value - 1), 2 * value, 2**32 - 1))
        case bytes() if value:
            at = rng.randrange(len(value))
            return rng.choice((b"", bytes(len(value)), value[:at] + b"\xff" + value[at + 1 :]))
        case str():
            return rng.choice(("", value + "x", value[:-1]))
    return None
