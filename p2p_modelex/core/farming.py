"""Farming: the farms we are of, own or buy from, and what that means for advertising and money."""

from collections.abc import Callable, Iterable, Sequence

from p2p_modelex.core.directory.directory import Directory
from p2p_modelex.core.directory.index import Rng
from p2p_modelex.core.effects import Effect, Persist, SetTimer, StreamId, TimerId
from p2p_modelex.core.farm.book import FarmBook
from p2p_modelex.core.farm.machine import FarmMachine, Members
from p2p_modelex.core.farm.own import OwnMemberships
from p2p_modelex.core.inputs import Input, TimerFired
from p2p_modelex.core.ledger.payee import PayeeLedger
from p2p_modelex.core.ledger.seat import Seat
from p2p_modelex.ids import Address, PublicKey, public_key_of
from p2p_modelex.records.envelope import Envelope
from p2p_modelex.records.farm import Membership, open_certificate
from p2p_modelex.records.rows import MembershipRow, Row
from p2p_modelex.units import Millis, UnixMs

SEATS_TIMER = TimerId("farm/seats")


class Farming:
    """Owns the farms' machine and our memberships. Timers begin with `farm/`."""

    def __init__(
        self,
        directory: Directory,
        payee: PayeeLedger,
        next_stream: Callable[[], StreamId],
        rng: Rng,
        ttl_ms: Millis,
        advertise: Callable[[UnixMs], list[Effect]],
    ) -> None:
        """ttl_ms: for how long our advertisement holds. advertise: says anew what we are."""
        self._directory = directory
        self._payee = payee
        self._advertise = advertise
        self.book = FarmBook(directory.network)
        self.machine = FarmMachine(self.book, self._find_members, next_stream, rng)
        own, account = public_key_of(directory.own), payee.payees[0]
        self._own = OwnMemberships(own, account, directory.network, self.book, ttl_ms)
        self._seats: tuple[Membership, ...] = ()

    def _find_members(self, farm: str) -> Members:
        entries = self._directory.find(farm=farm)
        return [(entry.peer, entry.advertisement.addresses) for entry in entries]

    def restore(self, rows: Iterable[Row]) -> None:
        """Take over MembershipRow, before the ledger's: what was earned at seats since left is
        redeemed as theirs.
        """
        past = [open_certificate(x.certificate) for x in rows if isinstance(x, MembershipRow)]
        self._payee.take_seats(seats_of(past))
        self._payee.take_seats({})

    def get_shown(self, now: UnixMs) -> tuple[Envelope, ...]:
        """The certificates to advertise."""
        return self._own.get_shown(now)

    def join(
        self,
        certificates: Sequence[Envelope],
        owned: Sequence[PublicKey],
        records: Sequence[bytes],
        now: UnixMs,
    ) -> list[Effect]:
        """Be a member by these certificates, and of no other farms, and the owner of others. The
        mesh is told what of the farms' records is news to it, and of our memberships if we
        advertise.
        """
        rows = self._own.join(certificates, now)
        ours = dict.fromkeys((*self._own.farms, *owned))
        effects = self.machine.set_ours(ours, records, now)
        return [*([Persist(rows)] if rows else []), *effects, *self._on_time(now)]

    def step(self, happened: Input, now: UnixMs) -> list[Effect]:
        """Take one input about records, or our timers."""
        if isinstance(happened, TimerFired) and happened.timer == SEATS_TIMER:
            return self._on_time(now)
        return [*self.machine.step(happened, now), *self._sit(now)]

    def _on_time(self, now: UnixMs) -> list[Effect]:
        """A certificate may hold now, or hold no more."""
        change = self._own.find_change(now)
        return [*self._sit(now), *([] if change is None else [SetTimer(SEATS_TIMER, change)])]

    def _sit(self, now: UnixMs) -> list[Effect]:
        """Take the seats that our memberships give us now, and show them, where that is new."""
        seats = self._own.get_seats(now)
        if seats != self._seats:
            self._seats = seats
            self._payee.take_seats(seats_of(seats))
        told = self._directory.get(self._directory.own)
        if told is None or told.withdrawn or told.advertisement.farms == self._own.get_shown(now):
            return []
        return self._advertise(now)


def seats_of(memberships: Iterable[Membership]) -> dict[Address, Seat]:
    """Return where memberships let us sit."""
    certificates = (membership.certificate for membership in memberships)
    return {Address(one.payee): Seat(one.index, one.weight) for one in certificates}
