"""How dishonest nodes differ: each changes the effects of an honest core before they happen.

A behaviour is one function of the life and an effect: what it returns happens instead, None for
nothing. Add one here, or register your own from a program (docs/simulation.md).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from p2p_modelex.core import effects as fx
from p2p_modelex.core.node import ANNOUNCEMENTS_TOPIC
from p2p_modelex.core.routing.probes import PROBE_PROTOCOL
from p2p_modelex.ids import public_key_of
from p2p_modelex.records import codec
from p2p_modelex.records.advertisement import Announcement, Announcements, Change
from p2p_modelex.records.job import Chunk, Finished, Load, Pay
from p2p_modelex.simulation.actors.garbling import garble

if TYPE_CHECKING:
    from p2p_modelex.simulation.nodes.life import Life

Behaviour = Callable[["Life", fx.Effect], fx.Effect | None]

_TAG_AT = 1


def _tag_of(payload: bytes) -> int:
    """Return a message's tag: msgpack has it behind the header of a short array."""
    return payload[_TAG_AT] if len(payload) > _TAG_AT and payload[0] & 0xF0 == 0x90 else -1


def be_honest(_: "Life", effect: fx.Effect) -> fx.Effect | None:
    """Do what the core wants."""
    return effect


def withhold_payment(life: "Life", effect: fx.Effect) -> fx.Effect | None:
    """Order, and never send a voucher after the first: a free rider."""
    if isinstance(effect, fx.Send) and life.speaks_exchange(effect.stream):
        tag = Pay.__struct_config__.tag
        return None if _tag_of(effect.payload) == tag else effect
    return effect


def withhold_receipts(life: "Life", effect: fx.Effect) -> fx.Effect | None:
    """Serve and be paid as it streams, and never sign for it."""
    if isinstance(effect, fx.Send) and life.speaks_exchange(effect.stream):
        tag = Finished.__struct_config__.tag
        return None if _tag_of(effect.payload) == tag else effect
    return effect


def withhold_chunks(life: "Life", effect: fx.Effect) -> fx.Effect | None:
    """Take the first voucher, and send nothing of the answer: who runs with the money."""
    if isinstance(effect, fx.Send) and life.speaks_exchange(effect.stream):
        dropped = (Chunk.__struct_config__.tag, Finished.__struct_config__.tag)
        return None if _tag_of(effect.payload) in dropped else effect
    return effect


def understate_load(life: "Life", effect: fx.Effect) -> fx.Effect | None:
    """Answer each probe as if it were idle, and quick."""
    if isinstance(effect, fx.Send) and life.speaks(effect.stream, PROBE_PROTOCOL):
        payload = effect.payload
        is_load = _tag_of(payload) == Load.__struct_config__.tag
        load = codec.decode(Load, payload, limit=len(payload)) if is_load else None
        if load is not None:
            idle = msgspec.structs.replace(load, running=0, waiting=0, slots=64, latency_ms=1)
            return fx.Send(effect.stream, codec.encode(idle))
    return effect


def repeat_announcements(life: "Life", effect: fx.Effect) -> fx.Effect | None:
    """Gossip its own record as changed whenever it sends anything: spam that costs no stake."""
    if isinstance(effect, fx.Send):
        change = Announcement(public_key_of(life.peer), life.now_ms, Change.CHANGED)
        life.router.publish(
            ANNOUNCEMENTS_TOPIC, codec.encode(Announcements((change,))), life.kernel.now
        )
    return effect


def inflate_tokens(life: "Life", effect: fx.Effect) -> fx.Effect | None:
    """Bill each chunk for more tokens than it has."""
    if isinstance(effect, fx.Send) and life.speaks_exchange(effect.stream):
        payload = effect.payload
        is_chunk = _tag_of(payload) == Chunk.__struct_config__.tag
        chunk = codec.decode(Chunk, payload, limit=len(payload)) if is_chunk else None
        if chunk is not None:
            more = msgspec.structs.replace(chunk, tokens=chunk.tokens + 1000)
            return fx.Send(effect.stream, codec.encode(more))
    return effect


def corrupt_records(life: "Life", effect: fx.Effect) -> fx.Effect | None:
    """Change a byte in the middle of what is handed over in reconciliation."""
    is_record = isinstance(effect, fx.Send) and not life.speaks_exchange(effect.stream)
    if isinstance(effect, fx.Send) and is_record and len(effect.payload) > 300:
        middle = len(effect.payload) // 2
        changed = bytes([effect.payload[middle] ^ 1])
        payload = effect.payload[:middle] + changed + effect.payload[middle + 1 :]
        return fx.Send(effect.stream, payload)
    return effect


def fall_silent(_: "Life", effect: fx.Effect) -> fx.Effect | None:
    """Take everything and say nothing."""
    return None if isinstance(effect, fx.Send | fx.Publish) else effect


BEHAVIOURS: dict[str, Behaviour] = {
    "honest": be_honest,
    "free-rider": withhold_payment,
    "no-receipt": withhold_receipts,
    "no-chunks": withhold_chunks,
    "overcharge": inflate_tokens,
    "load-liar": understate_load,
    "spammer": repeat_announcements,
    "corrupt": corrupt_records,
    "silent": fall_silent,
    "garbler": garble,
}
"""By the name that a population gives."""
