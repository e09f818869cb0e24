"""Keeping, finding, expiring, evicting and restoring."""

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from p2p_modelex.core.directory.directory import Directory, Entry
from p2p_modelex.core.directory.verdict import Outcome
from p2p_modelex.records.rows import RecordRow
from p2p_modelex.units import UnixMs
from tests.core.directory.account import proof
from tests.core.directory.worlds import NOW, TTL, Key, advertisement, directory, offer, sealed


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


def test_the_heap_of_expiries_stays_small() -> None:
    held = directory()
    for _ in range(200):
        put(held, 2)
    assert len(held._expiries) <= 2 + 64 + 1


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
