"""What is known of farms: their newest records, and so whose certificates hold. Rules FRM-n."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from p2p_modelex import limits
from p2p_modelex.core.buckets import TokenBuckets
from p2p_modelex.core.verdict import ACCEPTED, Verdict, ignore, reject
from p2p_modelex.errors import RemoteProtocolError
from p2p_modelex.ids import NetworkId, PeerId, PublicKey, format_peer_id, peer_id_of
from p2p_modelex.records import codec
from p2p_modelex.records import envelope as envelopes
from p2p_modelex.records.advertisement import Advertisement
from p2p_modelex.records.envelope import Envelope
from p2p_modelex.records.farm import RECORD_DOMAIN, FarmRecord, Membership, open_certificate
from p2p_modelex.records.rows import FarmRow
from p2p_modelex.units import Millis, UnixMs

WANTED_MAX = 256
"""Farms whose records are kept because requests named them; the one unnamed longest goes."""
HEARD_MAX = 1024
"""Farms of whose last record the date is kept, so that gossip passes each on once."""
RECORD_INTERVAL_MS = Millis(10_000)
"""An owner's records are passed on at most this often."""


@dataclass(frozen=True, slots=True)
class Held:
    """A farm's record and its exact bytes."""

    farm: PublicKey
    record: FarmRecord
    envelope: bytes

    @property
    def expires_at(self) -> UnixMs:
        """The first moment at which the record no longer holds."""
        return UnixMs(self.record.sequence + self.record.ttl_ms)


class FarmBook:
    """The newest records of the farms that we are of, own, or buy from. Strangers choose nothing
    here: of other farms no more is kept than when they last said something.
    """

    def __init__(self, network: NetworkId) -> None:
        self._network = network
        self._held: dict[PublicKey, Held] = {}
        self._ours: dict[PublicKey, None] = {}
        self._wanted: dict[PublicKey, None] = {}
        # Farm -> when its last record was made, and when it was passed on.
        self._heard: dict[PublicKey, tuple[int, UnixMs]] = {}
        self._origins = TokenBuckets(
            limits.GOSSIP_ORIGIN_BURST,
            int(1000 / limits.GOSSIP_ORIGIN_RATE),
            limits.GOSSIP_ORIGINS_MAX,
        )
        self._rules: tuple[Callable[[Held, Envelope, UnixMs], Verdict], ...] = (
            _judge_content,
            _judge_time,
            self._judge_news,
            self._judge_signature,
        )

    def keep_ours(self, farms: Iterable[PublicKey]) -> None:
        """Keep the records of these farms, whatever requests name."""
        self._ours = dict.fromkeys(farms)

    def want(self, farm: PublicKey) -> None:
        """A request names a farm: its record is worth keeping."""
        self._wanted.pop(farm, None)
        self._wanted[farm] = None
        if len(self._wanted) > WANTED_MAX:
            gone = next(iter(self._wanted))
            del self._wanted[gone]
            if gone not in self._ours:
                self._held.pop(gone, None)

    def get(self, farm: PublicKey, now: UnixMs) -> Held | None:
        """Return the newest record of a farm, None if there is none that holds."""
        held = self._held.get(farm)
        return held if held is not None and held.expires_at > now else None

    def judge(self, envelope: bytes, now: UnixMs, *, expected: PublicKey | None = None) -> Verdict:
        """Judge a record (FRM-5 to FRM-12), and keep it if it is good and of a farm we care for.

        expected: whose record was asked for.
        """
        try:
            held, opened = _open(envelope)
        except RemoteProtocolError as error:
            return reject("FRM-5", error.message)
        if expected not in (None, held.farm):
            return reject("FRM-6", "signed by another farm than was asked for")
        # In order of cost; one that accepts returns ACCEPTED itself.
        for rule in self._rules:
            verdict = rule(held, opened, now)
            if verdict is not ACCEPTED:
                return verdict
        if held.farm in self._ours or held.farm in self._wanted:
            self._held[held.farm] = held
        return ACCEPTED

    def judge_gossip(self, origin: PeerId, payload: bytes, now: UnixMs) -> Verdict:
        """Judge a record before it is passed on, and count what its origin and its owner say."""
        try:
            held, _ = _open(payload)
        except RemoteProtocolError as error:
            return reject("FRM-5", error.message)
        sequence, at = self._heard.get(held.farm, (0, UnixMs(0)))
        if held.record.sequence <= sequence:
            return ignore("FRM-10", "nothing newer than was heard")
        if now - at < RECORD_INTERVAL_MS or not self._origins.take(origin, now):
            return ignore("FRM-11", "the farm, or the origin, says too much")
        verdict = self.judge(payload, now)
        if verdict.accepted:
            self._heard.pop(held.farm, None)
            self._heard[held.farm] = held.record.sequence, now
            if len(self._heard) > HEARD_MAX:
                del self._heard[next(iter(self._heard))]
        return verdict

    def _judge_news(self, held: Held, _: Envelope, _now: UnixMs) -> Verdict:
        """FRM-10: newer than what is known."""
        kept = self._held.get(held.farm)
        if kept is not None and held.record.sequence <= kept.record.sequence:
            return ignore("FRM-10", "nothing newer than is known")
        return ACCEPTED

    def _judge_signature(self, _: Held, opened: Envelope, _now: UnixMs) -> Verdict:
        """FRM-12: signed by the farm, for this network."""
        try:
            envelopes.verify(opened, RECORD_DOMAIN, self._network)
        except RemoteProtocolError as error:
            return reject("FRM-12", error.message)
        return ACCEPTED

    def restore(self, rows: Iterable[FarmRow], now: UnixMs) -> None:
        """Judge persisted records again, which are of farms that were named or ours."""
        for row in rows:
            self.want(row.farm)
            self.judge(row.envelope, now, expected=row.farm)

    def find_row(self, record: bytes) -> FarmRow | None:
        """Return what to persist of a record; None if it is none of those that are kept."""
        kept = (held for held in self._held.values() if held.envelope == record)
        return next((FarmRow(one.farm, one.expires_at, record) for one in kept), None)

    def holds(self, membership: Membership, now: UnixMs) -> bool:
        """Whether the farm's newest record leaves a membership as it is (FRM-13). One whose record
        is not known, or has expired, stands by its certificate alone.
        """
        held = self.get(membership.farm, now)
        if held is None:
            return True
        certificate, record = membership.certificate, held.record
        is_of = (certificate.name, certificate.payee) == (record.name, record.payee)
        return is_of and certificate.serial not in record.revoked

    def get_membership(
        self, advertisement: Advertisement, farm: str, now: UnixMs
    ) -> Membership | None:
        """Return the membership in a farm, by its id, that an accepted advertisement shows and that
        holds; None if there is none.
        """
        for envelope in advertisement.farms:
            if format_peer_id(peer_id_of(PublicKey(envelope.signer))) == farm:
                membership = open_certificate(envelope)
                return membership if self.holds(membership, now) else None
        return None


def _open(envelope: bytes) -> tuple[Held, Envelope]:
    opened = envelopes.decode_envelope(envelope, limit=limits.FARM_RECORD_BYTES)
    record: FarmRecord = codec.decode(FarmRecord, opened.payload, limit=limits.FARM_RECORD_BYTES)
    return Held(PublicKey(opened.signer), record, envelope), opened


def _judge_content(held: Held, _: Envelope, _now: UnixMs) -> Verdict:
    """FRM-7: each serial once, in order."""
    if list(held.record.revoked) != sorted(set(held.record.revoked)):
        return reject("FRM-7", "revoked serials are not in order, or repeat")
    return ACCEPTED


def _judge_time(held: Held, _: Envelope, now: UnixMs) -> Verdict:
    """FRM-8 and FRM-9: neither from the future nor expired."""
    if held.record.sequence > now + limits.CLOCK_SKEW_MS:
        return ignore("FRM-8", "the sequence is in the future")
    if held.expires_at <= now:
        return ignore("FRM-9", "the record has expired")
    return ACCEPTED
