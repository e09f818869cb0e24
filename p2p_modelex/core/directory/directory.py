"""Who is out there: the newest advertisement of every peer, judged, indexed and expired."""

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from p2p_modelex import limits
from p2p_modelex.core.directory import rules
from p2p_modelex.core.directory.fingerprint import RangeIndex
from p2p_modelex.core.directory.index import CapabilityIndex, Group, Rng, belongs, serves
from p2p_modelex.core.directory.places import Places
from p2p_modelex.core.verdict import ACCEPTED, Verdict, ignore, reject
from p2p_modelex.errors import RemoteProtocolError
from p2p_modelex.ids import Digest, NetworkId, PeerId, PublicKey, peer_id_of, public_key_of
from p2p_modelex.records import codec
from p2p_modelex.records import envelope as envelopes
from p2p_modelex.records.advertisement import Advertisement, Kind
from p2p_modelex.records.envelope import Envelope
from p2p_modelex.records.rows import RecordRow
from p2p_modelex.units import Millis, UnixMs

UPDATE_INTERVAL_MS = Millis(1000)
"""A peer's advertisement is replaced at most this often (ADV-8)."""
# Stale heap entries tolerated before the heap is built anew.
_HEAP_SLACK = 64


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One peer's newest advertisement. `envelope`: its exact bytes."""

    peer: PeerId
    advertisement: Advertisement
    envelope: bytes
    received_at: UnixMs
    expires_at: UnixMs
    introducer: PeerId
    """Who handed it to us, for the place in a full directory."""

    @property
    def withdrawn(self) -> bool:
        """Whether the peer took itself out; kept until expiry, so that nothing older returns."""
        return rules.is_withdrawal(self.advertisement)


def _rank(advertisement: Advertisement) -> int:
    """How dear a place in a full directory is: withdrawn, no offers, offers, owned offers."""
    if rules.is_withdrawal(advertisement):
        return 0
    if not advertisement.offers:
        return 1
    return 3 if advertisement.accounts else 2


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
        self.index = RangeIndex()
        self._registry_domain = registry_domain
        self._entries_max = entries_max
        self._weight_max = entries_max * rules.WEIGHT_MEAN
        self._entries: dict[PeerId, Entry] = {}
        self._capabilities = CapabilityIndex()
        self._expiries: list[tuple[UnixMs, PeerId]] = []
        self._places = Places()
        self._weight = 0
        self._rules: tuple[Callable[[Entry, Envelope], Verdict], ...] = (
            lambda entry, _: rules.judge_time(entry.advertisement, entry.received_at),
            self._judge_news,
            self._judge_room,
            lambda entry, _: rules.judge_content(entry.advertisement),
            self._judge_proofs,
            lambda entry, opened: rules.judge_farms(
                entry.advertisement, PublicKey(opened.signer), network
            ),
            lambda _, opened: rules.judge_signature(opened, network),
            self._judge_place,
        )

    def __len__(self) -> int:
        return len(self._entries)

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
        if len(envelope) > limits.ADVERTISEMENT_BYTES:
            return reject("ADV-1", f"{len(envelope)} bytes")
        try:
            opened = envelopes.decode_envelope(envelope, limit=limits.ADVERTISEMENT_BYTES)
        except RemoteProtocolError as error:
            return reject("ADV-2", error.message)
        peer = opened.peer
        verdict = self._judge_opened(opened, peer, envelope, now, expected, introducer)
        return Verdict(verdict.outcome, verdict.rule, verdict.reason, verdict.blames_signer, peer)

    def _judge_opened(
        self,
        opened: Envelope,
        peer: PeerId,
        data: bytes,
        now: UnixMs,
        expected: PeerId | None,
        introducer: PeerId | None,
    ) -> Verdict:
        if expected not in (None, peer):
            return reject("ADV-3", "signed by another peer than was asked for")
        try:
            advertisement: Advertisement = codec.decode(
                Advertisement, opened.payload, limit=limits.ADVERTISEMENT_BYTES
            )
        except RemoteProtocolError as error:
            return reject("ADV-4", error.message)
        expires_at = rules.expires_at(advertisement)
        entry = Entry(peer, advertisement, data, now, expires_at, introducer or self.own)
        # In order of cost. One that accepts returns ACCEPTED itself, and the rest need not look.
        for judge in self._rules:
            verdict = judge(entry, opened)
            if verdict is not ACCEPTED:
                return verdict
        self._keep(entry)
        return ACCEPTED

    def _judge_proofs(self, entry: Entry, opened: Envelope) -> Verdict:
        signer = PublicKey(opened.signer)
        return rules.judge_proofs(entry.advertisement, signer, self._registry_domain)

    def _judge_news(self, entry: Entry, _: Envelope) -> Verdict:
        """ADV-7 and ADV-8: newer than what is known, and not too soon after it."""
        known = self._entries.get(entry.peer)
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

    def _judge_room(self, entry: Entry, _: Envelope) -> Verdict:
        """ADV-14, before the signature: what finds no place is not worth verifying."""
        known = self._entries.get(entry.peer)
        if entry.peer == self.own or not self._is_full(entry, known):
            return ACCEPTED
        if known is not None or self._find_loser(entry) is None:
            return ignore("ADV-14", "the directory is full")
        return ACCEPTED

    def _is_full(self, entry: Entry, known: Entry | None) -> bool:
        weight = self._weight + rules.weigh(entry.advertisement)
        if known is not None:
            more = weight - rules.weigh(known.advertisement)
            return more > max(self._weight, self._weight_max)
        return weight > self._weight_max or len(self._entries) >= self._entries_max

    def _find_loser(self, entry: Entry) -> PeerId | None:
        return self._places.find_loser(entry.peer, _rank(entry.advertisement), entry.introducer)

    def _judge_place(self, entry: Entry, _: Envelope) -> Verdict:
        """ADV-13 and ADV-14, last: only after the signature is it certain that the signer, not the
        sender, made two of one sequence, and that somebody may be dropped for a newcomer.
        """
        known = self._entries.get(entry.peer)
        if known is not None and known.advertisement.sequence == entry.advertisement.sequence:
            return reject("ADV-13", "two advertisements of one sequence", blames_signer=True)
        if known is None and entry.peer != self.own:
            while self._is_full(entry, None) and (loser := self._find_loser(entry)) is not None:
                self._forget(loser)
        return ACCEPTED

    def _keep(self, entry: Entry) -> None:
        peer = entry.peer
        if peer in self._entries:
            self._take_out(peer)
        self._entries[peer] = entry
        self._weight += rules.weigh(entry.advertisement)
        self.index.put(public_key_of(peer), entry.advertisement.sequence)
        if peer == self.own:
            self.own_sequence = max(self.own_sequence, entry.advertisement.sequence)
        else:
            self._capabilities.add(peer, entry.advertisement)
            self._places.put(peer, _rank(entry.advertisement), entry.introducer)
        heapq.heappush(self._expiries, (entry.expires_at, peer))
        if len(self._expiries) > 2 * len(self._entries) + _HEAP_SLACK:
            self._expiries = [(held.expires_at, held.peer) for held in self._entries.values()]
            heapq.heapify(self._expiries)

    def _forget(self, peer: PeerId) -> None:
        self._take_out(peer)
        self._places.remove(peer)

    def _take_out(self, peer: PeerId) -> None:
        """Take an entry out; its place in a full directory stays its own."""
        entry = self._entries.pop(peer)
        self._weight -= rules.weigh(entry.advertisement)
        self.index.remove(public_key_of(peer))
        self._capabilities.remove(peer, entry.advertisement)

    def get(self, peer: PeerId) -> Entry | None:
        """Return what is known of a peer; withdrawn ones too, expired ones not after `expire`."""
        return self._entries.get(peer)

    def row_of(self, peer: PeerId) -> RecordRow:
        """Return what to persist of a known peer."""
        entry = self._entries[peer]
        return RecordRow(peer, entry.advertisement.sequence, entry.expires_at, entry.envelope)

    def entries(self) -> tuple[Entry, ...]:
        """Every peer that has not withdrawn, ourselves too, in the order of peer ids."""
        return tuple(entry for _, entry in sorted(self._entries.items()) if not entry.withdrawn)

    def draw(self, rng: Rng) -> Entry | None:
        """Return a peer at random: the first one after a point of the ring; None if there is none
        there.
        """
        point = int(rng.random() * 2**48).to_bytes(6, "big")
        key = next(self.index.scan(point), None)
        return None if key is None else self._entries[peer_id_of(PublicKey(key))]

    def get_group(
        self, model: str | None, kind: Kind, farm: str = "", family: str | None = None
    ) -> Group:
        """Return other peers by model, family, kind or farm (its id), whichever are fewest; every
        match is among them.
        """
        return self._capabilities.get_group(model, kind, farm, family) or Group()

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
        group = self._capabilities.get_group(model, kind, farm, family)
        if group is None:
            peers = sorted(peer for peer in self._entries if peer != self.own)
        else:
            peers = list(group.ring)
        found = (self._entries[peer] for peer in peers)
        return tuple(
            entry
            for entry in found
            if (not farm or belongs(entry.advertisement, farm))
            and any(
                serves(offer, model, kind, features, family) for offer in entry.advertisement.offers
            )
        )

    def models(self) -> tuple[str, ...]:
        """Every model name on offer by others, sorted."""
        return self._capabilities.models()

    def get_farm_ids(self, farm: str) -> tuple[str, ...]:
        """The ids of the farms that others sell through and that are called so; an id is its own
        name.
        """
        return self._capabilities.get_farm_ids(farm)

    def farms(self) -> Mapping[str, tuple[str, ...]]:
        """The names of the farms that others sell through, sorted, with the ids of each name."""
        return self._capabilities.farms()

    def next_expiry(self) -> UnixMs | None:
        """When `expire` may have something to do."""
        return self._expiries[0][0] if self._expiries else None

    def expire(self, now: UnixMs) -> tuple[PeerId, ...]:
        """Forget what has expired; returns whom."""
        gone: list[PeerId] = []
        while self._expiries and self._expiries[0][0] <= now:
            _, peer = heapq.heappop(self._expiries)
            entry = self._entries.get(peer)
            if entry is not None and entry.expires_at <= now:
                self._forget(peer)
                gone.append(peer)
        return tuple(gone)

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
                entry = self._entries[row.peer]
                made_at = UnixMs(min(now, entry.advertisement.sequence))
                self._entries[row.peer] = msgspec.structs.replace(entry, received_at=made_at)
        return kept
