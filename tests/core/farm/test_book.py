"""Whose records are kept, what they say of memberships, and what gossip passes on."""

from typing import Any

import pytest

from p2p_modelex import limits
from p2p_modelex.core.farm import book as module
from p2p_modelex.core.farm.book import RECORD_INTERVAL_MS, FarmBook
from p2p_modelex.ids import format_peer_id
from p2p_modelex.records.farm import open_certificate
from p2p_modelex.units import UnixMs
from tests.core.directory.worlds import NETWORK, NOW, Key, advertisement
from tests.core.farm.farms import DAY, FARM, OTHER_FARM, Farm

MEMBER, ORIGIN = Key(51), Key(53).peer
ID = format_peer_id(FARM.peer)
LATER = UnixMs(NOW + RECORD_INTERVAL_MS)


def build(*farms: Farm) -> FarmBook:
    book = FarmBook(NETWORK)
    for farm in farms or (FARM,):
        book.want(farm.public_key)
    return book


def member(book: FarmBook, now: int = NOW) -> bool:
    """Whether a certificate of the farm, in an advertisement of two farms, is one of a member."""
    farms = OTHER_FARM.admit(MEMBER.public_key), FARM.admit(MEMBER.public_key)
    found = book.get_membership(advertisement(farms=farms), ID, UnixMs(now))
    assert found in (None, open_certificate(farms[1]))
    return found is not None


@pytest.mark.parametrize(
    ("record", "is_member"),
    [
        ({}, True),
        ({"revoked": (2, 3)}, True),
        ({"revoked": (1, 2)}, False),
        ({"payee": b"\xfb" * 20}, False),
        ({"name": "harvester"}, False),
    ],
)
def test_the_newest_record_says_which_certificates_hold(
    record: dict[str, Any], is_member: bool
) -> None:
    """FRM-13: not revoked, and of the farm's name and payee."""
    book = build()
    assert member(book), "a certificate stands alone where there is no record"
    assert book.judge(FARM.record(**record), UnixMs(NOW)).accepted
    assert member(book) is is_member
    expired = NOW + 7 * DAY
    assert member(book, expired), "at the record's expiry it stands alone again"
    assert book.get(FARM.public_key, UnixMs(expired)) is None


def test_a_farm_without_a_certificate_has_no_member() -> None:
    assert build().get_membership(advertisement(), ID, UnixMs(NOW)) is None


def test_an_older_record_does_not_bring_a_member_back() -> None:
    """FRM-10."""
    book = build()
    assert book.judge(FARM.record(NOW + 1, revoked=(1,)), UnixMs(NOW)).accepted
    assert book.judge(FARM.record(), UnixMs(NOW)).rule == "FRM-10"
    assert not member(book)


def test_strangers_records_are_judged_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what requests name, or we are of, is kept; of too many names the oldest goes."""
    book = FarmBook(NETWORK)
    record = FARM.record()
    assert book.judge(record, UnixMs(NOW)).accepted
    assert book.get(FARM.public_key, UnixMs(NOW)) is None
    assert book.find_row(record) is None
    monkeypatch.setattr(module, "WANTED_MAX", 1)
    for farm in (FARM, OTHER_FARM):
        book.want(farm.public_key)
        assert book.judge(farm.record(), UnixMs(NOW)).accepted
    assert book.get(FARM.public_key, UnixMs(NOW)) is None
    book.keep_ours([OTHER_FARM.public_key])
    book.want(FARM.public_key)
    assert book.get(OTHER_FARM.public_key, UnixMs(NOW)) is not None
    row = book.find_row(OTHER_FARM.record())
    assert row is not None
    assert (row.farm, row.expires_at) == (OTHER_FARM.public_key, NOW + 7 * DAY)


def test_records_are_restored_while_they_hold() -> None:
    book = build()
    book.judge(FARM.record(), UnixMs(NOW))
    row = book.find_row(FARM.record())
    assert row is not None
    again = FarmBook(NETWORK)
    again.restore([row], UnixMs(NOW))
    assert again.get(FARM.public_key, UnixMs(NOW)) == book.get(FARM.public_key, UnixMs(NOW))
    late = FarmBook(NETWORK)
    late.restore([row], UnixMs(NOW + 7 * DAY))
    assert late.get(FARM.public_key, UnixMs(NOW)) is None


def test_gossip_passes_each_record_on_once_and_not_too_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """FRM-11, of the farm and of the origin; FRM-10 for what was heard of a farm not kept."""
    book = FarmBook(NETWORK)

    def judge(record: bytes, now: int = NOW) -> str:
        return book.judge_gossip(ORIGIN, record, UnixMs(now)).rule

    assert judge(b"\xc1") == "FRM-5"
    assert judge(FARM.record(revoked=(2, 1))) == "FRM-7"
    assert judge(FARM.record()) == ""
    assert judge(FARM.record()) == "FRM-10"
    assert judge(FARM.record(NOW + 1)) == "FRM-11"
    for number in range(limits.GOSSIP_ORIGIN_BURST - 2):
        assert judge(Farm(60 + number).record()) == ""
    assert judge(Farm(99).record()) == "FRM-11"
    assert judge(FARM.record(NOW + 1), LATER) == ""
    monkeypatch.setattr(module, "HEARD_MAX", 15)
    assert judge(Farm(98).record(), LATER + DAY // 8) == ""
    assert judge(Farm(60).record(), LATER + DAY // 8) == "", "what was forgotten is news again"
