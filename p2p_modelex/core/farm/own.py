"""The farms that this node is a member of: what it shows of them, and until when."""

from collections.abc import Iterable

from p2p_modelex import limits
from p2p_modelex.core.farm.book import FarmBook
from p2p_modelex.errors import RemoteProtocolError
from p2p_modelex.ids import Address, NetworkId, PublicKey
from p2p_modelex.records.envelope import Envelope
from p2p_modelex.records.farm import Membership, open_certificate, validate_certificate
from p2p_modelex.records.rows import MembershipRow
from p2p_modelex.units import Millis, UnixMs


class OwnMemberships:
    """Our certificates; of two of one farm, the one with the higher serial."""

    def __init__(
        self, member: PublicKey, payee: Address, network: NetworkId, book: FarmBook, ttl_ms: Millis
    ) -> None:
        """payee: our own account. ttl_ms: for how long an advertisement of ours holds."""
        self._member = member
        self._payee = payee
        self._network = network
        self._book = book
        # A minute more, as our sequence may be ahead of our clock by that much.
        self._ahead_ms = ttl_ms + limits.CLOCK_SKEW_MS
        self._certificates: dict[PublicKey, Envelope] = {}

    def join(self, certificates: Iterable[Envelope], now: UnixMs) -> tuple[MembershipRow, ...]:
        """Be a member by these certificates and by no others; returns rows to keep. Those that are
        not good for us, or are over FARMS_MAX, are left out.
        """
        chosen: dict[PublicKey, Envelope] = {}
        for envelope in certificates:
            try:
                membership = open_certificate(envelope)
                moment = UnixMs(max(now, membership.certificate.not_before))
                validate_certificate(envelope, self._member, self._network, moment, moment)
            except RemoteProtocolError:
                continue
            held = chosen.get(membership.farm)
            if held is None or _serial_of(held) < membership.certificate.serial:
                chosen[membership.farm] = envelope
        self._certificates = dict(sorted(chosen.items())[: limits.FARMS_MAX])
        return tuple(
            MembershipRow(farm, _serial_of(envelope), envelope)
            for farm, envelope in self._certificates.items()
        )

    @property
    def farms(self) -> tuple[PublicKey, ...]:
        """Those we have a certificate of."""
        return tuple(self._certificates)

    def get_seats(self, now: UnixMs) -> tuple[Membership, ...]:
        """Return the memberships that hold now. Two that are paid to one account would share lanes:
        the first counts; one that is paid to our own account is none.
        """
        seats: dict[Address, Membership] = {}
        for membership in map(open_certificate, self._certificates.values()):
            certificate = membership.certificate
            payee = Address(certificate.payee)
            is_now = certificate.not_before <= now <= certificate.not_after
            if is_now and payee != self._payee and self._book.holds(membership, now):
                seats.setdefault(payee, membership)
        return tuple(seats.values())

    def get_shown(self, now: UnixMs) -> tuple[Envelope, ...]:
        """Return the certificates to advertise: good for as long as an advertisement made now."""
        until = now + self._ahead_ms
        return tuple(
            self._certificates[seat.farm]
            for seat in self.get_seats(now)
            if seat.certificate.not_after >= until
        )

    def find_change(self, now: UnixMs) -> UnixMs | None:
        """Return when the clock next changes what is shown or where we sit; None for never."""
        moments = [
            moment
            for envelope in self._certificates.values()
            for certificate in (open_certificate(envelope).certificate,)
            for moment in (
                certificate.not_before,
                certificate.not_after - self._ahead_ms + 1,
                certificate.not_after + 1,
            )
            if moment > now
        ]
        return UnixMs(min(moments)) if moments else None


def _serial_of(envelope: Envelope) -> int:
    return open_certificate(envelope).certificate.serial
