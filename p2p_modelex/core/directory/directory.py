"""Who is out there: the newest advertisement of every peer, judged, indexed and expired."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from p2p_modelex import limits
from p2p_modelex.core.directory import holdings, rules
from p2p_modelex.core.directory import reading as readings
from p2p_modelex.core.directory.entry import Entry
from p2p_modelex.core.directory.fingerprint import RangeIndex
from p2p_modelex.core.directory.index import Group, Rng, belongs, serves
from p2p_modelex.core.directory.places import Places
from p2p_modelex.core.directory.reading import Reading
from p2p_modelex.core.verdict import ACCEPTED, Verdict, ignore, reject
from p2p_modelex.ids import Digest, NetworkId, PeerId, PublicKey, peer_id_of
from p2p_modelex.records.advertisement import Kind
from p2p_modelex.records.rows import RecordRow
from p2p_modelex.units import Millis, UnixMs

UPDATE_INTERVAL_MS = Millis(1000)
"""A peer's advertisement is replaced at most this often (ADV-8)."""


class Directory:
    """The newest advertisement of every known peer, ours among them; bounded."""

    def __init__(
        self,
        network: NetworkId,
        registry_domain: Digest,
        own: PeerId,
        *,
        entries_max: int = limits.DIRECTORY_ENTRIES_MAX,
    ) -> None:
        """`registry_domain`: the EIP-712 domain of the NodeRegistry, for ownership proofs."""
        self.network = network
        self.own = own
        self.own_sequence = 0
        """The highest sequence ever seen of ourselves; the next one must be above it."""
        self.own_envelope = b""
        """Our own entry's bytes; empty if there is none."""
        self._registry_domain = registry_domain
        self._entries_max = entries_max
        self._weight_max = entries_max * rules.WEIGHT_MEAN
        self._held = holdings.Holdings(own)
        self._places = Places()
        # In order of cost. One that accepts returns ACCEPTED itself, and the rest need not look.
        self._rules: tuple[Callable[[Entry, Entry | None, Reading], Verdict], ...] = (
            lambda entry, *_: rules.judge_time(entry.advertisement, entry.received_at),
            self._judge_news,
            self._judge_room,
            lambda _, __, reading: readings.judge(reading, registry_domain, network),
            self._judge_place,
        )

    def __len__(self) -> int:
        return len(self._held)

    @property
    def index(self) -> RangeIndex:
        """The keys and sequences of all entries."""
        return self._held.index

    def trust(self, peer: PeerId) -> None:
        """A peer was connected to us: its entry makes no room for those we only heard of."""
        self._places.trust(peer)

    def judge(
        self,
        envelope: bytes,
        now: UnixMs,
        *,
        expected: PeerId | None = None,
        introducer: PeerId | None = None,
    ) -> Verdict:
        """Judge an advertisement (rules ADV-n) and keep it if it is accepted.

        expected: whose advertisement was asked for. introducer: who handed it to us, ourselves if
        nobody is named. The row to persist is `row_of(peer)`.
        """
        reading = readings.read(envelope)
        peer = reading.peer
        if peer is not None and expected not in (None, peer):
            return _about(peer, reject("ADV-3", "signed by another peer than was asked for"))
        if isinstance(reading, Verdict):
            return reading
        known = self._held.get(reading.peer)
        entry = Entry(
            reading.peer,
            reading.advertisement,
            envelope,
            now,
            reading.expires_at,
            known.introducer if known is not None else introducer or self.own,
            reading.weight,
        )
        for judge in self._rules:
            verdict = judge(entry, known, reading)
            if verdict is not ACCEPTED:
                return _about(reading.peer, verdict)
        self._keep(entry)
        return _about(reading.peer, ACCEPTED)

    def _judge_news(self, entry: Entry, known: Entry | None, _: Reading) -> Verdict:
        """ADV-7 and ADV-8: newer than what is known, and not too soon after it."""
        if known is None:
            return ACCEPTED
        sequence = entry.advertisement.sequence
        if sequence < known.advertisement.sequence or entry.envelope == known.envelope:
            return ignore("ADV-7", "nothing newer than is known")
        leaves = entry.withdrawn and not known.withdrawn
        since = entry.received_at - known.received_at
        if entry.peer != self.own and not leaves and 0 <= since < UPDATE_INTERVAL_MS:
            return ignore("ADV-8", f"replaced {since} ms ago")
        return ACCEPTED

    def _judge_room(self, entry: Entry, known: Entry | None, _: Reading) -> Verdict:
        """ADV-14, before the signature: what finds no place is not worth verifying."""
        if entry.peer == self.own or not self._is_full(entry, known):
            return ACCEPTED
        if known is not None or self._find_loser(entry) is None:
            return ignore("ADV-14", "the directory is full")
        return ACCEPTED

    def _is_full(self, entry: Entry, known: Entry | None) -> bool:
        held = self._held
        weight = held.weight + entry.weight
        if known is not None:
            return weight - known.weight > max(held.weight, self._weight_max)
        return weight > self._weight_max or len(held) >= self._entries_max

    def _find_loser(self, entry: Entry) -> PeerId | None:
        if not self._places.is_counting:
            self._places.begin(held for held in self._held if held.peer != self.own)
        return self._places.find_loser(entry.peer, entry.rank, entry.introducer)

    def _judge_place(self, entry: Entry, known: Entry | None, _: Reading) -> Verdict:
        """ADV-13 and ADV-14, last: only after the signature is it certain that the signer, not the
        sender, made two of one sequence, and that somebody may be dropped for a newcomer.
        """
        if known is not None and known.advertisement.sequence == entry.advertisement.sequence:
            return reject("ADV-13", "two advertisements of one sequence", blames_signer=True)
        if known is None and entry.peer != self.own:
            while self._is_full(entry, None) and (loser := self._find_loser(entry)) is not None:
                self._held.remove(loser)
                self._places.remove(loser)
        return ACCEPTED

    def _keep(self, entry: Entry) -> None:
        self._held.put(entry)
        if entry.peer == self.own:
            self.own_sequence = max(self.own_sequence, entry.advertisement.sequence)
            self.own_envelope = entry.envelope
        elif self._places.is_counting:
            self._places.put(entry.peer, entry.rank, entry.introducer)

    def get(self, peer: PeerId) -> Entry | None:
        """Return what is known of a peer; withdrawn ones too, expired ones not after `expire`."""
        return self._held.get(peer)

    def get_envelope(self, key: bytes, now: UnixMs) -> bytes | None:
        """Return what to hand out of the peer with this Ed25519 key; None once it has expired."""
        return self._held.get_envelope(key, now)

    def row_of(self, peer: PeerId) -> RecordRow:
        """Return what to persist of a known peer."""
        return self._held.get_row(peer)

    def entries(self) -> tuple[Entry, ...]:
        """Every peer that has not withdrawn, ourselves too, in the order of peer ids."""
        there = (entry for entry in self._held if not entry.withdrawn)
        return tuple(sorted(there, key=lambda entry: entry.peer))

    def draw(self, rng: Rng) -> Entry | None:
        """Return a peer at random: the first one after a point of the ring; None if there is none
        there.
        """
        point = int(rng.random() * 2**48).to_bytes(6, "big")
        key = next(self.index.scan(point), None)
        return None if key is None else self._held.get(peer_id_of(PublicKey(key)))

    def get_group(
        self, model: str | None, kind: Kind, farm: str = "", family: str | None = None
    ) -> Group:
        """Return other peers by model, family, kind or farm (its id), whichever are fewest; every
        match is among them.
        """
        return self._held.capabilities.get_group(model, kind, farm, family) or Group()

    def find(
        self,
        *,
        model: str | None = None,
        kind: Kind | None = None,
        features: Sequence[str] = (),
        farm: str = "",
        family: str | None = None,
    ) -> tuple[Entry, ...]:
        """Other peers with one offer that has all of it, in the order of peer ids. farm: the id of
        one that they show a certificate of.
        """
        group = self._held.capabilities.get_group(model, kind, farm, family)
        if group is None:
            peers = sorted(entry.peer for entry in self._held if entry.peer != self.own)
        else:
            peers = list(group.ring)
        found = map(self._held.get, peers)
        return tuple(
            entry
            for entry in found
            if entry is not None
            and (not farm or belongs(entry.advertisement, farm))
            and any(
                serves(offer, model, kind, features, family) for offer in entry.advertisement.offers
            )
        )

    def models(self) -> tuple[str, ...]:
        """Every model name on offer by others, sorted."""
        return self._held.capabilities.models()

    def get_farm_ids(self, farm: str) -> tuple[str, ...]:
        """The ids of the farms that others sell through and that are called so; an id is its own
        name.
        """
        return self._held.capabilities.get_farm_ids(farm)

    def farms(self) -> Mapping[str, tuple[str, ...]]:
        """The names of the farms that others sell through, sorted, with the ids of each name."""
        return self._held.capabilities.farms()

    def next_expiry(self) -> UnixMs | None:
        """When `expire` may have something to do."""
        return self._held.expiries.next_at

    def expire(self, now: UnixMs) -> tuple[PeerId, ...]:
        """Forget what has expired; returns whom."""
        gone = self._held.take_expired(now)
        for peer in gone:
            self._places.remove(peer)
            if peer == self.own:
                self.own_envelope = b""
        return gone

    def restore(self, rows: Iterable[RecordRow], now: UnixMs) -> int:
        """Judge persisted rows again (another network's or expired ones drop out); returns how many
        were kept. They count as accepted when they were made, or what is newer would have to wait
        (ADV-8), and a short-lived node would never see it.
        """
        kept = 0
        for row in rows:
            if row.peer == self.own:
                self.own_sequence = max(self.own_sequence, row.sequence)
            if self.judge(row.envelope, now, expected=row.peer).accepted:
                kept += 1
                self._held.date(row.peer, UnixMs(min(now, row.sequence)))
        return kept


def _about(peer: PeerId, verdict: Verdict) -> Verdict:
    return Verdict(verdict.outcome, verdict.rule, verdict.reason, verdict.blames_signer, peer)
