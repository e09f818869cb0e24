"""Our own certificates: which count, which are shown, and when that changes."""

from typing import Any

import pytest

from p2p_modelex import limits
from p2p_modelex.core.farm.book import FarmBook
from p2p_modelex.core.farm.own import OwnMemberships
from p2p_modelex.ids import Address
from p2p_modelex.records.envelope import Envelope
from p2p_modelex.records.rows import MembershipRow
from p2p_modelex.units import Millis, UnixMs
from tests.core.directory.worlds import NETWORK, NOW, Key
from tests.core.farm.farms import DAY, FARM, OTHER_FARM, PAYEE, Farm

MEMBER, OTHER = Key(51), Key(52)
ACCOUNT = Address(b"\x0a" * 20)
TTL = Millis(600_000)
AHEAD = TTL + limits.CLOCK_SKEW_MS


def admit(farm: Farm = FARM, **changes: Any) -> Envelope:
    return farm.admit(MEMBER.public_key, **changes)


def build(*certificates: Envelope) -> OwnMemberships:
    book = FarmBook(NETWORK)
    book.keep_ours([FARM.public_key])
    own = OwnMemberships(MEMBER.public_key, ACCOUNT, NETWORK, book, TTL)
    own.join(certificates, UnixMs(NOW))
    return own


def serials(own: OwnMemberships, now: int = NOW) -> list[int]:
    return [seat.certificate.serial for seat in own.get_seats(UnixMs(now))]


def test_a_certificate_is_kept_shown_and_sat_by() -> None:
    own = build()
    assert own.find_change(UnixMs(NOW)) is None
    good = admit()
    assert own.join([good], UnixMs(NOW)) == (MembershipRow(FARM.public_key, 1, good),)
    assert own.farms == (FARM.public_key,)
    assert own.get_shown(UnixMs(NOW)) == (good,)
    assert serials(own) == [1]
    assert own.join([], UnixMs(NOW)) == ()
    assert serials(own) == []


@pytest.mark.parametrize(
    "bad",
    [
        FARM.admit(OTHER.public_key),
        admit(not_after=NOW - 1),
        Envelope(FARM.public_key, b"\xc1", bytes(64)),
        Envelope(OTHER_FARM.public_key, admit().payload, admit().signature),
    ],
)
def test_what_is_not_good_for_us_is_left_out(bad: Envelope) -> None:
    own = build(bad, admit())
    assert serials(own) == [1]


def test_of_one_farm_the_newest_certificate_counts() -> None:
    for order in ((1, 2), (2, 1)):
        assert serials(build(*(admit(serial=one) for one in order))) == [2]


def test_no_more_farms_than_an_advertisement_holds() -> None:
    certificates = [
        admit(Farm(60 + at), payee=bytes([at]) * 20) for at in range(limits.FARMS_MAX + 1)
    ]
    assert len(build(*certificates).farms) == limits.FARMS_MAX


def test_two_farms_of_one_account_would_share_lanes() -> None:
    """The first counts; one that is paid to our own account does not."""
    first, second = sorted((FARM, OTHER_FARM), key=lambda farm: farm.public_key)
    own = build(admit(first), admit(second))
    assert [seat.farm for seat in own.get_seats(UnixMs(NOW))] == [first.public_key]
    assert own.get_shown(UnixMs(NOW)) == (admit(first),)
    assert serials(build(admit(payee=ACCOUNT))) == []


def test_time_changes_what_is_shown_and_where_we_sit() -> None:
    """A certificate is shown while it outlives what we say, and holds a little longer."""
    begin, end = NOW + DAY, NOW + 2 * DAY
    own = build(admit(not_before=begin, not_after=end))
    now, seen = NOW, []
    while (change := own.find_change(UnixMs(now))) is not None:
        now = change
        seen.append((now, len(serials(own, now)), len(own.get_shown(UnixMs(now)))))
    assert seen == [(begin, 1, 1), (end - AHEAD + 1, 1, 0), (end + 1, 0, 0)]


def test_a_membership_that_is_revoked_is_neither() -> None:
    own = build(admit())
    assert own._book.judge(FARM.record(payee=PAYEE, revoked=(1,)), UnixMs(NOW)).accepted
    assert serials(own) == []
    assert own.get_shown(UnixMs(NOW)) == ()
