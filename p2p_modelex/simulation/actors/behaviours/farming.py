"""Peers that say they are of a farm that they are not of, and tell of farms what does not hold."""

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from p2p_modelex import limits
from p2p_modelex.core import effects as fx
from p2p_modelex.core.directory.own import seal_advertisement
from p2p_modelex.core.directory.sessions import RECONCILE_PROTOCOL
from p2p_modelex.core.farm.machine import FARM_PROTOCOL, FARMS_TOPIC
from p2p_modelex.ids import PublicKey, public_key_of
from p2p_modelex.records import codec
from p2p_modelex.records import envelope as envelopes
from p2p_modelex.records.advertisement import Advertisement
from p2p_modelex.records.envelope import Envelope, decode_envelope, seal
from p2p_modelex.records.farm import (
    CERTIFICATE_DOMAIN,
    RECORD_DOMAIN,
    WHOLE,
    Certificate,
    FarmAnswer,
    FarmQuestion,
    FarmRecord,
)
from p2p_modelex.records.reconciliation import Offered, Pulled, Records
from p2p_modelex.simulation.actors.behaviours.base import read_sent

if TYPE_CHECKING:
    from p2p_modelex.simulation.nodes.life import Life

PAST = "past"
"""Where an outcast's life has what its farm's owner once signed for it."""
_SHOWN: tuple[type[Offered | Records | Pulled], ...] = (Offered, Records, Pulled)
_PAUSE_US = 5_000_000
"""Between two lies on gossip: of two outcasts one keeps silent there, as who lies there is banned
before anybody asks it.
"""
_HOUR_MS = 3_600_000


class Past(NamedTuple):
    """What an owner signed for somebody whom it has put out. record: the last before, encoded."""

    expired: Envelope
    revoked: Envelope
    record: bytes


def impersonate(life: "Life", effect: fx.Effect) -> fx.Effect | None:
    """Once a member of its farm, and put out: show each peer one of the certificates that are
    revoked, expired, not valid yet, another's, forged or absurd, and spread records that are old,
    forged, another farm's or nonsense.
    """
    if not isinstance(effect, fx.Send):
        return effect
    if life.number % 2:
        _spread(life)
    if life.speaks(effect.stream, RECONCILE_PROTOCOL):
        return _show(life, effect)
    return _tell(life, effect) if life.speaks(effect.stream, FARM_PROTOCOL) else effect


def _choose(life: "Life", effect: fx.Send, count: int) -> int:
    """The same for a peer, whenever it is told."""
    return zlib.crc32(life.peer_of(effect.stream) + life.peer) % count


def _show(life: "Life", effect: fx.Send) -> fx.Send:
    """Say of itself what is not so, whatever its own directory has."""
    for kind in _SHOWN:
        message = read_sent(life, effect, RECONCILE_PROTOCOL, kind)
        if message is not None:
            shown = tuple(_pretend(life, effect, one) for one in message.envelopes)
            return fx.Send(
                effect.stream, codec.encode(msgspec.structs.replace(message, envelopes=shown))
            )
    return effect


def _pretend(life: "Life", effect: fx.Send, encoded: bytes) -> bytes:
    opened = decode_envelope(encoded, limit=limits.ADVERTISEMENT_BYTES)
    if opened.peer != life.peer:
        return encoded
    said: Advertisement = codec.decode(
        Advertisement, opened.payload, limit=limits.ADVERTISEMENT_BYTES
    )
    shown = _list_certificates(life)
    told = msgspec.structs.replace(said, farms=shown[_choose(life, effect, len(shown))])
    return seal_advertisement(told, life.core.directory.network, life.open_key(life.number))


def _list_certificates(life: "Life") -> list[tuple[Envelope, ...]]:
    """All that it can show: its own farm's say of it whatever it likes, within what decodes."""
    past: Past | None = life.memory.get(PAST)
    own = Certificate("own", public_key_of(life.peer), bytes(20), 1, WHOLE, 1, 0, 2**62)
    changes = ({"weight": WHOLE + 1}, {"weight": 0}, {"not_before": life.now_ms + _HOUR_MS})
    shown: list[tuple[Envelope, ...]]
    shown = [(_certify(life, msgspec.structs.replace(own, **change)),) for change in changes]
    if past is not None:
        forged = msgspec.structs.replace(own, serial=2**31, name="forged")
        shown += [(past.revoked,), (past.expired,), (past.revoked,) * 2]
        shown.append((_forge(life, past.revoked.signer, CERTIFICATE_DOMAIN, forged),))
    entries = (entry for entry in life.core.directory.entries() if entry.peer != life.peer)
    others = next((entry.advertisement.farms for entry in entries if entry.advertisement.farms), ())
    return [*shown, others] if others else shown


def _certify(life: "Life", said: Certificate) -> Envelope:
    network = life.core.directory.network
    return seal(CERTIFICATE_DOMAIN, network, codec.encode(said), life.open_key(life.number))


def _forge(life: "Life", signer: bytes, domain: str, said: msgspec.Struct) -> Envelope:
    """Put words into an owner's mouth: the key that signs is its own."""
    payload = codec.encode(said)
    message = envelopes.signing_input(domain, life.core.directory.network, payload)
    return Envelope(signer, payload, life.open_key(life.number).sign(message))


def _tell(life: "Life", effect: fx.Send) -> fx.Send:
    """Answer, and ask, about a farm with what does not hold."""
    lies = _list_records(life)
    lie = lies[_choose(life, effect, len(lies) + 1) - 1]
    for kind in (FarmAnswer, FarmQuestion):
        message = read_sent(life, effect, FARM_PROTOCOL, kind)
        if message is not None:
            changed = msgspec.structs.replace(message, record=lie)
            return fx.Send(effect.stream, codec.encode(changed) if lie else b"")
    return effect


def _list_records(life: "Life") -> Sequence[bytes]:
    """Records of its farm, and of the one whose key is its own; b"" for no message at all."""
    past: Past | None = life.memory.get(PAST)
    now, network = life.now_ms, life.core.directory.network
    own = FarmRecord("own", now, _HOUR_MS, bytes(20), ())
    changes: tuple[dict[str, object], ...] = (
        {},
        {"name": "other", "payee": b"\1" * 20},  # of the same moment: they clash
        {"sequence": now + _HOUR_MS},
        {"sequence": now - _HOUR_MS},
        {"revoked": (2, 1)},
    )
    told = [msgspec.structs.replace(own, **change) for change in changes]
    key = life.open_key(life.number)
    lies = [codec.encode(seal(RECORD_DOMAIN, network, codec.encode(one), key)) for one in told]
    if past is not None:
        signer, everybody = PublicKey(past.revoked.signer), tuple(range(64))
        forged = msgspec.structs.replace(own, revoked=everybody)
        lies += [past.record, codec.encode(_forge(life, signer, RECORD_DOMAIN, forged))]
    return [*lies, b"\xc0", b""]


def _spread(life: "Life") -> None:
    """Gossip the next lie."""
    at, number = life.memory.get("spread", (-_PAUSE_US, 0))
    if life.kernel.now - at >= _PAUSE_US:
        lies = _list_records(life)
        life.memory["spread"] = life.kernel.now, number + 1
        life.router.publish(FARMS_TOPIC, lies[number % len(lies)], life.kernel.now)
