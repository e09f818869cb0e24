"""What all behaviours share: their type, and how to read and change a frame of a protocol."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import msgspec

from p2p_modelex.core import effects as fx
from p2p_modelex.records import codec

if TYPE_CHECKING:
    from p2p_modelex.simulation.nodes.life import Life

Behaviour = Callable[["Life", fx.Effect], fx.Effect | None]
"""What a node does instead of an effect of its core; None for nothing."""

Kind = TypeVar("Kind", bound=msgspec.Struct)

_TAG_AT = 1


def be_honest(_: "Life", effect: fx.Effect) -> fx.Effect | None:
    """Do what the core wants."""
    return effect


def tag_of(payload: bytes) -> int:
    """Return a message's tag: msgpack has it behind the header of a short array."""
    return payload[_TAG_AT] if len(payload) > _TAG_AT and payload[0] & 0xF0 == 0x90 else -1


def is_a(payload: bytes, *kinds: type[msgspec.Struct]) -> bool:
    """Whether a frame is one of these messages, by its tag; of one protocol's."""
    return tag_of(payload) in [kind.__struct_config__.tag for kind in kinds]


def read_sent(life: "Life", effect: fx.Effect, protocol: str, kind: type[Kind]) -> Kind | None:
    """Return the message that an effect sends, if it is one of this kind and protocol."""
    if not isinstance(effect, fx.Send) or not life.speaks(effect.stream, protocol):
        return None
    payload = effect.payload
    if not is_a(payload, kind):
        return None
    message: Kind = codec.decode(kind, payload, limit=len(payload))
    return message


def drop_sent(
    life: "Life", effect: fx.Effect, protocol: str, *kinds: type[msgspec.Struct]
) -> fx.Effect | None:
    """Return the effect, or None if it sends one of these messages."""
    if not isinstance(effect, fx.Send) or not life.speaks(effect.stream, protocol):
        return effect
    return None if is_a(effect.payload, *kinds) else effect
