"""An owner's roll: indexes, weights, serials, and the record it makes."""

import msgspec
import pytest

from p2p_modelex import limits
from p2p_modelex.core.farm import roll as module
from p2p_modelex.core.farm.roll import (
    Admission,
    Roll,
    admit,
    build_certificate,
    build_record,
    compute_weight,
    revoke,
)
from p2p_modelex.errors import BadInput
from p2p_modelex.ids import Address, format_address, format_peer_id
from p2p_modelex.records.farm import Certificate
from p2p_modelex.units import Millis, UnixMs
from tests.core.directory.worlds import NOW, Key
from tests.core.farm.farms import DAY, FARM, PAYEE

ONE, OTHER, THIRD = (Key(number) for number in (71, 72, 73))
AT = UnixMs(NOW)
EMPTY = Roll("harvest", format_peer_id(FARM.peer), format_address(Address(PAYEE)))


def take(
    roll: Roll, key: Key, weight: int = 1_000, index: int | None = None, days: int = 1
) -> tuple[Roll, Admission]:
    return admit(roll, key.peer, weight, index, AT, UnixMs(NOW + days * DAY))


def test_each_member_has_an_index_and_each_certificate_a_serial() -> None:
    """FRM-17."""
    roll, first = take(EMPTY, ONE)
    roll, second = take(roll, OTHER, 2_000)
    roll, again = take(roll, ONE, 1_500)
    roll, own = take(roll, OTHER, 1, index=40)
    roll, next_one = take(roll, THIRD)
    made = [(one.index, one.serial) for one in (first, second, again, own, next_one)]
    assert made == [(1, 1), (2, 2), (1, 3), (40, 4), (41, 5)]
    assert build_certificate(roll, second) == Certificate(
        "harvest", OTHER.public_key, PAYEE, 2, 2_000, 2, NOW, NOW + DAY
    )


@pytest.mark.parametrize(("index", "says"), [(1, "another member's"), (0, "1 to"), (2**16, "1 to")])
def test_an_index_is_never_given_again(index: int, says: str) -> None:
    """FRM-17: not even where the member that had it was revoked."""
    roll, _ = take(EMPTY, ONE)
    roll, _ = revoke(roll, "1")
    with pytest.raises(BadInput, match=says):
        take(roll, OTHER, index=index)


def test_weights_come_to_the_whole_at_most() -> None:
    """FRM-17: of certificates that hold, each member's heaviest."""
    roll, _ = take(EMPTY, ONE, 6_000)
    roll, _ = take(roll, OTHER, 4_000, days=2)
    with pytest.raises(BadInput, match="a weight of 1, of which 0 are left"):
        take(roll, THIRD, 1)
    with pytest.raises(BadInput, match="of which 6000 are left"):
        take(roll, ONE, 0)
    roll, _ = take(roll, ONE, 5_000)
    assert compute_weight(roll, AT) == 10_000, "the heavier one of the first holds still"
    roll, _ = revoke(roll, "1")
    assert compute_weight(roll, AT) == 9_000
    assert compute_weight(roll, UnixMs(NOW + DAY + 1)) == 4_000
    take(roll, THIRD, 1_000)


def test_a_peer_or_a_serial_is_revoked() -> None:
    roll = EMPTY
    for key in (ONE, OTHER, ONE):
        roll, _ = take(roll, key)
    roll, serials = revoke(roll, "2")
    assert serials == (2,)
    roll, serials = revoke(roll, format_peer_id(ONE.peer))
    assert serials == (1, 3)
    for who in ("2", "9", format_peer_id(THIRD.peer)):
        with pytest.raises(BadInput, match="no certificate that holds"):
            revoke(roll, who)


def test_a_record_names_what_is_revoked_until_it_would_expire() -> None:
    """FRM-18, and the sequence goes up whatever the clock does."""
    roll = EMPTY
    for days in (1, 3, 2):
        roll, _ = take(roll, ONE, days=days)
    roll, _ = revoke(roll, format_peer_id(ONE.peer))
    roll, record = build_record(roll, AT, Millis(DAY))
    assert (record.name, record.payee, record.ttl_ms) == ("harvest", PAYEE, DAY)
    assert (record.sequence, record.revoked) == (NOW, (1, 2, 3))
    roll, record = build_record(roll, AT, Millis(DAY))
    assert record.sequence == NOW + 1
    roll, record = build_record(roll, UnixMs(NOW + DAY + 1), Millis(DAY))
    assert (record.sequence, record.revoked) == (NOW + DAY + 1, (2, 3))


def test_a_farm_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    roll, _ = take(EMPTY, ONE)
    monkeypatch.setattr(module, "ADMISSIONS_MAX", 1)
    with pytest.raises(BadInput, match="as many certificates as it can"):
        take(roll, OTHER)
    many = tuple(
        msgspec.structs.replace(roll.admissions[0], serial=serial, is_revoked=True)
        for serial in range(limits.REVOKED_MAX + 1)
    )
    with pytest.raises(BadInput, match="513 revoked certificates"):
        build_record(msgspec.structs.replace(roll, admissions=many), AT, Millis(DAY))
