"""Peers that lie about who is out there: floods, forgeries, replays, endless reconciliations."""

import itertools
import os
import string
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import trio
from nacl.signing import SigningKey

from p2p_modelex.core.directory.own import seal_advertisement
from p2p_modelex.core.directory.sessions import RECONCILE_PROTOCOL
from p2p_modelex.core.node import ANNOUNCEMENTS_TOPIC
from p2p_modelex.keys.signers import Ed25519Signer
from p2p_modelex.limits import RECONCILE_BATCH_RECORDS
from p2p_modelex.records import codec
from p2p_modelex.records.advertisement import (
    Advertisement,
    Announcement,
    Announcements,
    Change,
    Offer,
    Section,
)
from p2p_modelex.records.reconciliation import Compare, Fetch, Offered, Range, Records
from p2p_modelex.units import Wei
from tests.attacks.adversary import Adversary, adversaries, drain, keep_on
from tests.attacks.harness import Siege
from tests.node.world import DEPLOYMENT

SECTION = "Attacks on gossip and the directory"
TRAP = "/ip4/127.0.0.1/tcp/{}"
WHOLE = Range(b"", b"", 1, bytes(16))


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def build_advertisement(
    sequence: int, *, addresses: tuple[str, ...] = ("/ip4/127.0.0.1/tcp/9",), features: int = 0
) -> Advertisement:
    """An offer or, with `features`, sixteen with so many invented names each."""
    offers = tuple(_offer(f"m{at}", features) for at in range(16 if features else 1))
    section = Section.UNREGISTERED
    return Advertisement(sequence, 600_000, "x/1", addresses, offers, (), section, (), bytes(32))


_NAMES = ("".join(letters) for letters in itertools.product(string.ascii_lowercase, repeat=4))


def _offer(model: str, features: int) -> Offer:
    names = tuple(sorted(next(_NAMES) for _ in range(features)))
    return Offer(model, bytes(32), ("chat",), 2048, 512, names, Wei(1), Wei(1), 0, 64, 0)


def seal(content: Advertisement, signer: Ed25519Signer | None = None) -> bytes:
    key = signer or Ed25519Signer(os.urandom(32))
    return seal_advertisement(content, DEPLOYMENT.network, key)


def batches(count: int, **content: Any) -> Iterator[bytes]:
    """Offered frames with records of so many new keys."""
    sealed = (seal(build_advertisement(now_ms(), **content)) for _ in range(count))
    while batch := tuple(itertools.islice(sealed, RECONCILE_BATCH_RECORDS)):
        yield codec.encode(Offered(batch))


async def offer_all(one: Adversary, frames: list[bytes]) -> None:
    """Offer frames one after another on one stream, as an honest initiator would."""
    stream = await one.open(RECONCILE_PROTOCOL)
    for frame in frames:
        await stream.send_frame(frame)
        await stream.receive_frame()
    await stream.aclose()


async def test_sybil_flood(siege: Siege) -> None:
    frames = list(batches(6_400))
    async with (
        siege.attack("Sybil advertisements", "6,400 valid ones of as many new keys") as attack,
        adversaries(siege, 4) as band,
        trio.open_nursery() as nursery,
    ):
        for number, one in enumerate(band):
            nursery.start_soon(offer_all, one, frames[number::4])
    attack.assert_held(rss_mib=64, joined=0.9)


async def test_heavy_advertisements(siege: Siege) -> None:
    frames = list(batches(1_280, features=16))
    async with (
        siege.attack("Heavy advertisements", "1,280 of 3 KiB with 256 invented names") as attack,
        adversaries(siege, 2) as band,
        trio.open_nursery() as nursery,
    ):
        for number, one in enumerate(band):
            nursery.start_soon(offer_all, one, frames[number::2])
    attack.assert_held(rss_mib=96, joined=0.9)


async def test_signature_bombs(siege: Siege) -> None:
    """The first bad record ends the session, and the second session the peer's welcome."""
    good = seal(build_advertisement(now_ms()))
    forged = good[:-3] + bytes([good[-3] ^ 1]) + good[-2:]
    bomb = codec.encode(Offered((forged,) * RECONCILE_BATCH_RECORDS))

    async def throw(one: Adversary) -> None:
        await drain(await one.say(bomb, protocol=RECONCILE_PROTOCOL))

    async with (
        siege.attack("Signature bombs", "6 peers offer frames of 64 forged records") as attack,
        adversaries(siege, 6) as band,
    ):
        done = await keep_on(band, throw, each=2)
    assert done <= 6 * 16
    attack.assert_held(rss_mib=24, joined=0.9)


async def test_replays(siege: Siege) -> None:
    """Old, present and repeated advertisements; they cost nothing, so their number must not."""
    key = Ed25519Signer(os.urandom(32))
    versions = [seal(build_advertisement(now_ms() - 1000 * age), key) for age in range(64)]
    frame = codec.encode(Offered(tuple(versions)))

    async def replay(one: Adversary) -> None:
        await offer_all(one, [frame] * 200)

    async with (
        siege.attack("Replays", "4 peers offer the same 64 old records for ever") as attack,
        adversaries(siege, 4) as band,
    ):
        await keep_on(band, replay, each=2)
    attack.assert_held(rss_mib=24, joined=0.9)


async def test_times_that_cannot_be(siege: Siege) -> None:
    """From the future, expired, and two of one sequence."""
    keys = [Ed25519Signer(os.urandom(32)) for _ in range(32)]
    future = [seal(build_advertisement(now_ms() + 10**9)) for _ in range(16)]
    expired = [seal(build_advertisement(now_ms() - 10**9)) for _ in range(16)]
    at = now_ms()
    twins = [
        [seal(build_advertisement(at, addresses=(f"/ip4/10.0.0.{n}/tcp/1",)), key) for key in keys]
        for n in (1, 2)
    ]
    frames = [codec.encode(Offered((*future, *expired, *twin))) for twin in twins]

    async def offer(one: Adversary) -> None:
        await offer_all(one, frames[:1])
        await trio.sleep(1.1)
        await offer_all(one, frames[1:])

    async with (
        siege.attack("Impossible times", "future, expired and clashing sequences") as attack,
        adversaries(siege, 2) as band,
    ):
        await keep_on(band, offer)
    attack.assert_held(rss_mib=24, joined=0.9)


async def test_reconciliations_that_never_end(siege: Siege) -> None:
    """Sessions that stall after a question, and as many again."""

    async def stall(one: Adversary) -> None:
        await one.say(Compare((WHOLE,)), protocol=RECONCILE_PROTOCOL)
        await trio.sleep(30)

    async with (
        siege.attack("Endless reconciliation", "12 peers hold 16 sessions each") as attack,
        adversaries(siege, 12) as band,
    ):
        await keep_on(band, stall, each=16)
    attack.assert_held(rss_mib=40, joined=0.9)


def _cover(parts: int) -> tuple[Range, ...]:
    bounds = [b"", *(bytes([at]) for at in range(1, parts)), b""]
    return tuple(Range(lo, hi, 9, bytes(16)) for lo, hi in itertools.pairwise(bounds))


async def test_costly_comparisons(siege: Siege) -> None:
    frame = codec.encode(Compare(_cover(256)))

    async def compare(one: Adversary) -> None:
        await offer_all(one, [frame] * 60)

    async with (
        siege.attack("Costly comparisons", "4 peers compare 256 ranges over and over") as attack,
        adversaries(siege, 4) as band,
    ):
        await keep_on(band, compare, each=2)
    attack.assert_held(rss_mib=24, joined=0.9)


async def test_a_million_ranges(siege: Siege) -> None:
    """More than fit, overlapping, unsorted, empty: each ends its session."""
    ranges = _cover(256)
    header = codec.encode(Compare((WHOLE,)))
    lies: tuple[Any, ...] = (
        header[:2] + b"\xdd\x00\x0f\x42\x40" + header[3:],
        Compare((ranges[5], ranges[4])),
        Compare((ranges[5], ranges[5])),
        Compare((Range(b"b", b"a", 1, bytes(16)),)),
        Records((b"x",) * 64),
    )

    async def lie(one: Adversary) -> None:
        for words in lies:
            await drain(await one.say(words, protocol=RECONCILE_PROTOCOL))

    async with (
        siege.attack(
            "A million ranges", "claimed, overlapping, unsorted; answers to no question"
        ) as attack,
        adversaries(siege, 6) as band,
    ):
        await keep_on(band, lie)
    attack.assert_held(rss_mib=24, joined=0.9)


async def test_fetch_everything_and_read_nothing(siege: Siege) -> None:
    """Each question is 2 KB, each answer up to 256 KB."""
    keys = [SigningKey(os.urandom(32)) for _ in range(64)]
    records = [
        seal(build_advertisement(now_ms(), features=16), Ed25519Signer(bytes(key))) for key in keys
    ]
    fetch = codec.encode(Fetch(tuple(bytes(key.verify_key) for key in keys)))

    async def fetch_all(one: Adversary) -> None:
        stream = await one.open(RECONCILE_PROTOCOL)
        with trio.move_on_after(2):
            while True:
                await stream.send_frame(fetch)
        await stream.reset()

    async with (
        siege.attack("Fetch and never read", "8 peers ask for 190 KB at a time") as attack,
        adversaries(siege, 8) as band,
    ):
        await offer_all(band[0], [codec.encode(Offered(tuple(records)))])
        await keep_on(band, fetch_all, each=4)
    attack.assert_held(rss_mib=64, joined=0.9)


async def test_lying_addresses(siege: Siege) -> None:
    """Eight addresses of a third party each, announced again and again: who is dialled?"""
    knocks = 0

    async def count(stream: trio.SocketStream) -> None:
        nonlocal knocks
        knocks += 1
        await trio.sleep(10)

    async with trio.open_nursery() as trap:
        (listener,) = await trap.start(partial(trio.serve_tcp, count, 0, host="127.0.0.1"))
        port = listener.socket.getsockname()[1]
        addresses = tuple(f"{TRAP.format(port)}" for _ in range(8))
        keys = [Ed25519Signer(os.urandom(32)) for _ in range(256)]

        async def announce(one: Adversary) -> None:
            for at in range(0, len(keys), 64):
                later = now_ms() + 50_000
                items = [
                    Announcement(key.public_key, later, Change.CHANGED)
                    for key in keys[at : at + 64]
                ]
                payload = codec.encode(Announcements(tuple(items)))
                await one.network.publish(ANNOUNCEMENTS_TOPIC, payload)
            await trio.sleep(1)

        async with (
            siege.attack(
                "Lying addresses",
                "256 peers at a third party's address, announced by 4 for 12 s",
                at_least_s=12,
            ) as attack,
            adversaries(siege, 4) as band,
        ):
            sealed = [seal(build_advertisement(now_ms(), addresses=addresses), key) for key in keys]
            for at in range(0, 256, 64):
                frame = codec.encode(Offered(tuple(sealed[at : at + 64])))
                await offer_all(band[0], [frame])
            await keep_on(band, announce, seconds=12)
            attack.note = f"{knocks} connections to the third party"
        trap.cancel_scope.cancel()
    assert knocks <= 8 * 12
    attack.assert_held(rss_mib=40, joined=0.9)
