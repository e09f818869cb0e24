"""Keeping, finding, expiring, evicting and restoring."""

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from p2p_modelex.core.directory import intake, places
from p2p_modelex.core.directory.directory import Directory
from p2p_modelex.core.directory.entry import Entry
from p2p_modelex.core.effects import Penalize
from p2p_modelex.core.verdict import Outcome
from p2p_modelex.errors import RemoteProtocolError
from p2p_modelex.ids import NetworkId, format_peer_id
from p2p_modelex.records.envelope import Envelope
from p2p_modelex.records.rows import RecordRow
from p2p_modelex.units import UnixMs
from tests.core.directory.account import proof
from tests.core.directory.worlds import NOW, TTL, Key, advertisement, directory, offer, sealed
from tests.core.farm.farms import FARM, OTHER_FARM


def put(held: Directory, number: int, **content: object) -> Key:
    key = Key(number)
    known = held.get(key.peer)
    sequence = known.advertisement.sequence + 1000 if known else NOW
    sent = sealed(key, advertisement(sequence, **content))  # type: ignore[arg-type]
    verdict = held.judge(sent, UnixMs(sequence))
    assert verdict.accepted, verdict
    return key


def peers(entries: tuple[Entry, ...]) -> list[bytes]:
    return [entry.peer for entry in entries]


def test_find_wants_one_offer_that_has_everything() -> None:
    held = directory()
    small = offer("small", kinds=("score",), features=("grammar",))
    both = put(held, 2, offers=(small, offer("big", kinds=("chat", "completion"))))
    big = put(held, 3, offers=(offer("big", features=("grammar", "logprobs")),))
    own = put(held, 1, offers=(offer("own"),))
    everyone = sorted([both.peer, big.peer])
    assert peers(held.find()) == everyone
    assert peers(held.find(model="big")) == everyone
    assert peers(held.find(kind="score")) == [both.peer]
    assert peers(held.find(features=("grammar",))) == everyone
    assert peers(held.find(kind="chat", features=("grammar", "logprobs"))) == [big.peer]
    assert peers(held.find(model="big", kind="score")) == []
    assert peers(held.find(model="own")) == []
    assert peers(held.find(model="nothing")) == []
    assert held.models() == ("big", "small")
    assert peers(held.entries()) == sorted([*everyone, own.peer])
    put(held, 2, offers=(offer("new"),))
    assert held.models() == ("big", "new")
    put(held, 2, addresses=())
    assert held.models() == ("big",)
    assert peers(held.entries()) == sorted([big.peer, own.peer])
    withdrawn = held.get(both.peer)
    assert withdrawn is not None
    assert withdrawn.withdrawn


def test_members_of_a_farm_are_found_while_they_advertise_it() -> None:
    held = directory()
    one, other = Key(51), Key(52)
    farm, orchard = format_peer_id(FARM.peer), format_peer_id(OTHER_FARM.peer)

    def tell(key: Key, at: int, *farms: Envelope) -> None:
        said = sealed(key, advertisement(NOW + at, farms=farms))
        assert held.judge(said, UnixMs(NOW + at)).accepted

    tell(Key(1), 0, FARM.admit(Key(1).public_key))
    assert held.farms() == {}
    tell(one, 0, FARM.admit(one.public_key), OTHER_FARM.admit(one.public_key))
    tell(other, 0, FARM.admit(other.public_key, index=2))
    assert held.farms() == {"harvest": (farm,), "orchard": (orchard,)}
    assert [entry.peer for entry in held.find(farm=orchard)] == [one.peer]
    assert [entry.peer for entry in held.find(farm=orchard, model="m")] == [one.peer]
    assert len(held.find(farm=farm)) == len(held.get_group("m", "chat", farm)) == 2
    assert held.get_farm_ids("harvest") == held.get_farm_ids(farm) == (farm,)
    tell(Key(1), 2_000)
    tell(one, 2_000)
    assert held.farms() == {"harvest": (farm,)}
    assert held.get_farm_ids("orchard") == held.get_farm_ids(orchard) == ()
    tell(other, 2_000)
    assert held.farms() == {}


def test_expiry_forgets_each_at_its_time() -> None:
    held = directory()
    assert held.next_expiry() is None
    assert held.expire(NOW) == ()
    short, long = put(held, 2, ttl_ms=10_000), put(held, 3, ttl_ms=20_000)
    assert held.next_expiry() == NOW + 10_000
    put(held, 2, ttl_ms=30_000)  # its first expiry is stale now
    assert held.expire(UnixMs(NOW + 10_000)) == ()
    assert held.expire(UnixMs(NOW + 20_000)) == (long.peer,)
    assert held.get(long.peer) is None
    assert held.expire(UnixMs(NOW + 31_000)) == (short.peer,)
    assert len(held) == len(held.index) == 0
    assert held.models() == ()


def test_a_peer_that_renews_for_ever_takes_no_more_room() -> None:
    held = directory()
    for _ in range(200):
        put(held, 2)
    expiries = held._held.expiries
    assert len(expiries) <= 2 + 64 + 1
    assert held.expire(UnixMs(NOW + 100 * TTL)) == (Key(2).peer,)
    assert len(expiries) == 0


def test_our_own_expires_too() -> None:
    held = directory()
    own = put(held, 1)
    assert held.expire(UnixMs(NOW + 2 * TTL)) == (own.peer,)
    assert held.get(own.peer) is None


def test_what_expires_within_a_second_does_so_together() -> None:
    held = directory()
    early, late = put(held, 2, ttl_ms=10_001), put(held, 3, ttl_ms=11_000)
    assert held.next_expiry() == NOW + 11_000
    assert held.expire(UnixMs(NOW + 10_999)) == ()
    assert held.expire(UnixMs(NOW + 11_000)) == (early.peer, late.peer)
    assert held.next_expiry() is None


def test_a_full_directory_drops_the_lowest_rank() -> None:
    """ADV-14."""
    held = directory(entries_max=3)
    owner = Key(4)
    first, second = put(held, 2), put(held, 3)
    owned = put(held, 4, accounts=(proof(owner, NOW + 2 * TTL),))
    verdict = held.judge(sealed(Key(5)), NOW)
    assert (verdict.outcome, verdict.rule) == (Outcome.IGNORE, "ADV-14")
    put(held, 2)  # changed now: not the longest unchanged any more
    richer = put(held, 6, accounts=(proof(Key(6), NOW + 2 * TTL),))
    assert held.get(second.peer) is None
    put(held, 2, addresses=())
    newcomer = put(held, 7)  # takes the place of the withdrawn one
    assert held.get(first.peer) is None
    own = put(held, 1)  # our own always has a place
    kept = sorted([owned.peer, richer.peer, newcomer.peer, own.peer])
    assert peers(held.entries()) == kept
    assert held.judge(sealed(Key(8)), NOW).rule == "ADV-14"


def test_peers_without_offers_rank_between() -> None:
    held = directory(entries_max=1)
    bare = msgspec.structs.replace(advertisement(), offers=())
    assert held.judge(sealed(Key(2), bare), NOW).accepted
    assert held.judge(sealed(Key(3), bare), NOW).rule == "ADV-14"
    put(held, 4)
    assert held.get(Key(2).peer) is None


def test_our_own_replacements_need_not_wait() -> None:
    held = directory()
    for sequence in (NOW, NOW + 1):
        assert held.judge(sealed(Key(1), advertisement(sequence)), NOW).accepted
    assert held.own_sequence == NOW + 1


def test_a_clock_that_went_back_does_not_block_updates() -> None:
    held = directory()
    put(held, 2)
    later = sealed(Key(2), advertisement(NOW + 1))
    assert held.judge(later, UnixMs(NOW - 5)).accepted


def test_restore_judges_again() -> None:
    held = directory()
    kept = put(held, 2)
    good = held.row_of(kept.peer)
    own = RecordRow(Key(1).peer, NOW - TTL, NOW, sealed(Key(1), advertisement(NOW - TTL)))
    foreign = msgspec.structs.replace(good, peer=Key(3).peer)
    garbage = RecordRow(Key(4).peer, NOW, NOW, b"garbage")
    restored = directory()
    assert restored.restore([good, own, foreign, garbage], NOW) == 1
    assert peers(restored.entries()) == [kept.peer]
    assert restored.own_sequence == NOW - TTL


def test_what_was_restored_need_not_wait_for_what_is_newer() -> None:
    row = (before := directory()).row_of(put(before, 2).peer)
    restored = directory()
    started_at = UnixMs(NOW + 60_000)
    assert restored.restore([row], started_at) == 1
    later = sealed(Key(2), advertisement(NOW + 30_000))
    assert restored.judge(later, UnixMs(started_at + 1)).accepted


BYTES = sealed(Key(2))


@given(st.binary(max_size=600) | st.integers(0, len(BYTES) * 8 - 1))
@example(bytes(5000))
def test_any_bytes_give_a_verdict(message: bytes | int) -> None:
    if isinstance(message, int):
        flipped = bytearray(BYTES)
        flipped[message // 8] ^= 1 << message % 8
        message = bytes(flipped)
    held = directory()
    assert not held.judge(message, NOW).accepted
    assert len(held) == 0


def test_who_hands_over_many_second_advertisements_is_to_blame() -> None:
    held = directory()
    taking = intake.Intake(held, Key(90).peer)
    keys = range(100, 101 + intake.EQUIVOCATIONS_MAX)
    firsts, seconds = (
        tuple(sealed(Key(key), advertisement(NOW, offers=(offer(name),))) for key in keys)
        for name in ("first", "second")
    )
    assert taking.take(firsts, NOW) == len(firsts)
    taking.drain()
    with pytest.raises(RemoteProtocolError, match="REC-7: ADV-13"):
        taking.take(seconds, UnixMs(NOW + 2_000))
    blamed = [one for one in taking.drain() if isinstance(one, Penalize)]
    assert len(blamed) == intake.EQUIVOCATIONS_MAX


# A full directory (ADV-14).


def offered(number: int, *, sequence: int = NOW, heavy: bool = False) -> bytes:
    offers = tuple(
        offer(f"m{at}", features=tuple(f"f{name:02}" for name in range(16))) for at in range(16)
    )
    return sealed(Key(number), advertisement(sequence, offers=offers if heavy else ()))


def test_a_flood_of_one_neighbour_makes_room_for_what_others_bring() -> None:
    full = directory(entries_max=10)
    flooder, honest = Key(90).peer, Key(91).peer
    old = full.judge(offered(1000), NOW, introducer=flooder)
    for number in range(9):
        assert full.judge(offered(100 + number), NOW, introducer=flooder).accepted
    assert full.judge(offered(200), NOW, introducer=flooder).rule == "ADV-14"
    kept = [full.judge(offered(300 + n), NOW, introducer=honest).accepted for n in range(10)]
    assert kept.count(True) == 5  # shares are even, and stay so
    assert len(full) == 10
    assert old.peer is not None
    assert full.get(old.peer) is not None  # the latest of a flood go first


def test_who_was_connected_makes_no_room_for_hearsay() -> None:
    full = directory(entries_max=4)
    for number in range(4):
        full.judge(offered(100 + number), NOW, introducer=Key(90).peer)
    assert full.judge(offered(200), NOW, introducer=Key(90).peer).rule == "ADV-14"
    for number in range(4):
        full.trust(Key(100 + number).peer)
    full.trust(Key(100).peer)
    assert full.judge(offered(200), NOW, introducer=Key(91).peer).rule == "ADV-14"
    full.trust(Key(201).peer)
    assert full.judge(offered(201), NOW, introducer=Key(201).peer).accepted


def test_trust_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "TRUSTED_MAX", 1)
    full = directory(entries_max=1)
    full.judge(offered(100), NOW, introducer=Key(90).peer)
    full.trust(Key(100).peer)
    assert full.judge(offered(300), NOW).rule == "ADV-14"  # places are counted from now on
    full.trust(Key(200).peer)
    assert full.judge(offered(200), NOW).rule == "ADV-14"  # the place was got while it was trusted
    full.judge(offered(100, sequence=NOW + 5_000), UnixMs(NOW + 5_000))
    assert full.judge(offered(200), NOW).accepted


def test_what_finds_no_place_is_not_verified() -> None:
    full = directory(entries_max=1)
    assert full.judge(offered(100), NOW).accepted
    forged = sealed(Key(200), network=NetworkId(b"other" * 6 + b"!!"))
    assert full.judge(forged, NOW).rule == "ADV-14"


def test_a_directory_is_bounded_by_weight_too() -> None:
    full = directory(entries_max=20)  # 80 KiB, of which two such entries leave little
    assert full.judge(offered(1, heavy=True), NOW, introducer=Key(90).peer).accepted
    assert full.judge(offered(2, heavy=True), NOW, introducer=Key(90).peer).accepted
    assert full.judge(offered(3, heavy=True), NOW, introducer=Key(90).peer).rule == "ADV-14"
    assert full.judge(offered(4), NOW, introducer=Key(90).peer).accepted
    later = UnixMs(NOW + 5_000)
    assert full.judge(offered(4, sequence=later, heavy=True), later).rule == "ADV-14"
    assert full.judge(offered(2, sequence=later, heavy=True), later).accepted
    assert full.judge(offered(1, sequence=later), later).accepted


def test_a_rise_in_rank_keeps_the_introducer() -> None:
    full = directory(entries_max=2)
    bare = sealed(Key(100), advertisement(NOW, addresses=()))
    assert full.judge(bare, NOW, introducer=Key(90).peer).accepted
    later = UnixMs(NOW + 5_000)
    assert full.judge(offered(100, sequence=later), later, introducer=Key(91).peer).accepted
    assert full.judge(offered(101), later, introducer=Key(90).peer).accepted
    assert full.judge(offered(102), later, introducer=Key(91).peer).accepted
