"""Peers that finish the handshakes and then abuse streams: too many, too slow, too fast, frozen."""

import os
import signal
from pathlib import Path

import pytest
import trio

from p2p_modelex.core.directory.sessions import RECONCILE_PROTOCOL
from p2p_modelex.core.exchange import parameters
from p2p_modelex.core.routing.probes import PROBE_PROTOCOL
from p2p_modelex.net.libp2p.ping import PING_ID
from tests.attacks.harness import Siege, Subject
from tests.attacks.toolbox import (
    ACK,
    DATA,
    FIN,
    MULTISTREAM,
    PING,
    RST,
    SYN,
    WINDOW,
    Session,
    frame,
    new_subnet,
    session,
    sessions,
    source,
)

SECTION = "Attacks on the transport"
# Pings each second, so that a frozen peer is noticed within the test's patience.
OPTIONS = {"network": {"loopback_exempt": False, "ping_interval_s": 1.0}}

PROTOCOLS = (parameters.PROTOCOL, PROBE_PROTOCOL, RECONCILE_PROTOCOL, PING_ID)
IDENTIFY = "/ipfs/id/1.0.0"
GOSSIP = "/meshsub/1.1.0"


async def test_streams_never_negotiated(siege: Siege) -> None:
    async with (
        siege.attack(
            "Streams never negotiated", "5 peers open 1,000 streams each, say nothing"
        ) as attack,
        sessions(siege, [source(new_subnet()) for _ in range(5)]) as opened,
    ):
        for one in opened:
            for _ in range(1000):
                await one.write(frame(WINDOW, SYN, one.number(), 0))
        await trio.sleep(2)
    attack.assert_held(rss_mib=32, fds=20, joined=0.9)


async def test_streams_of_every_protocol_held(siege: Siege) -> None:
    async with (
        siege.attack(
            "Streams held", "5 peers negotiate 400 streams each, of 6 protocols, and wait"
        ) as attack,
        sessions(siege, [source(new_subnet()) for _ in range(5)]) as opened,
    ):
        for one in opened:
            for number in range(400):
                names = (*PROTOCOLS, IDENTIFY, GOSSIP)
                await one.open(names[number % len(names)])
        await trio.sleep(3)
        attack.note = f"{siege.victim.ask()['streams']} streams"
    attack.assert_held(rss_mib=48, fds=20, joined=0.9)


async def test_rapid_reset(siege: Siege) -> None:
    """HTTP/2's CVE-2023-44487, in Yamux: work is asked for and taken back at once."""
    async with (
        siege.attack("Rapid reset", "one peer opens and resets 20,000 streams") as attack,
        session(siege) as one,
    ):
        hello = MULTISTREAM + bytes([len(PROBE_PROTOCOL) + 1]) + PROBE_PROTOCOL.encode() + b"\n"
        for _ in range(1000):
            burst = b""
            for _ in range(20):
                number = one.number()
                burst += frame(WINDOW, SYN, number, 0)
                burst += frame(DATA, 0, number, len(hello), hello)
                burst += frame(WINDOW, RST, number, 0)
            if not await one.write(burst):
                break
        await trio.sleep(1)
    attack.assert_held(rss_mib=32, fds=20, joined=0.9)


async def test_slow_reader(siege: Siege) -> None:
    """Asks for much and reads nothing: TCP fills, then the victim's queue, which is bounded."""
    async with (
        siege.attack("Slow reader", "4 peers have 64 echoes each answered, read none") as attack,
        sessions(siege, [source(new_subnet()) for _ in range(4)], deaf=True) as opened,
    ):
        for one in opened:
            echoes = [await one.open(PING_ID) for _ in range(64)]
            with trio.move_on_after(3):
                for _ in range(200):
                    for echo in echoes:
                        if not await one.send(echo, (64).to_bytes(4, "big") + bytes(64)):
                            break
        await trio.sleep(1)
    attack.assert_held(rss_mib=32, fds=20, joined=0.9)


async def test_slow_writer(siege: Siege) -> None:
    async with (
        siege.attack(
            "Slow writer", "5 peers send frames a byte at a time, 30 streams each"
        ) as attack,
        sessions(siege, [source(new_subnet()) for _ in range(5)]) as opened,
    ):
        with trio.move_on_after(4):
            async with trio.open_nursery() as nursery:
                for one in opened:
                    nursery.start_soon(_crawl, one)
    attack.assert_held(rss_mib=32, fds=20, joined=0.9)


async def _crawl(one: Session) -> None:
    streams = [await one.open(PROTOCOLS[number % len(PROTOCOLS)]) for number in range(30)]
    for byte in b"\x00\x00\xff\xff" + os.urandom(200):
        for stream in streams:
            await one.send(stream, bytes([byte]))
        await trio.sleep(0.1)


async def test_frozen_peer(siege: Siege) -> None:
    """SIGSTOP: the kernel still acknowledges, so only silence tells."""
    frozen = Subject("tests.attacks.idler", siege.address, log=Path(os.devnull))
    try:
        await trio.to_thread.run_sync(frozen.wait_line, 0)
        async with siege.attack(
            "Frozen peer", "a process with 5 connections is stopped (SIGSTOP)", at_least_s=8
        ) as attack:
            before = siege.victim.ask()["connections"]
            os.kill(frozen.pid, signal.SIGSTOP)
            await trio.sleep(8)
            assert siege.victim.ask()["connections"] <= before - 5
    finally:
        os.kill(frozen.pid, signal.SIGCONT)
        frozen.stop()
    attack.assert_held(rss_mib=16, fds=20, joined=0.9)


async def test_frames_that_lie(siege: Siege) -> None:
    """Ours: four bytes of length before each frame, and a limit for each protocol."""
    lies = (
        b"\xff\xff\xff\xff",
        b"\x80\x00\x00\x00" + bytes(100),
        (10**6).to_bytes(4, "big") + bytes(100),
        b"\x00\x00\x00\x00" * 500,
        b"\x00\x00\x00\x10" + bytes(7),
        b"\x00\x00",
        os.urandom(60_000),
    )
    async with (
        siege.attack(
            "Oversized and truncated frames", f"{len(lies)} lies on each of 4 protocols, by 4 peers"
        ) as attack,
        sessions(siege, [source(new_subnet()) for _ in range(4)]) as opened,
    ):
        for one, protocol in zip(opened, PROTOCOLS, strict=False):
            for lie in lies:
                stream = await one.open(protocol)
                await one.send(stream, lie)
                await one.write(frame(WINDOW, FIN, stream, 0))
        await trio.sleep(1)
    attack.assert_held(rss_mib=16, fds=20, joined=0.9)


async def test_negotiation_lies(siege: Siege) -> None:
    lies = (
        b"\xff" * 10,
        b"\xff\xff\xff\xff\x07",
        b"\x00" * 1000,
        MULTISTREAM + b"\x05\xff\xfe\xfd\xfc\n",
        MULTISTREAM + b"\x03na\n" * 300,
        MULTISTREAM + b"\x03ls\n" * 300,
        MULTISTREAM + b"\x04/no\n" * 3000,
        MULTISTREAM * 100,
        b"\x13/multistream/9.9.9\n",
        os.urandom(5000),
    )
    async with (
        siege.attack(
            "Bad stream negotiation", f"{len(lies)} kinds of nonsense on 300 streams, not UTF-8 too"
        ) as attack,
        sessions(siege, [source(new_subnet()) for _ in range(3)]) as opened,
    ):
        for one in opened:
            for number in range(100):
                stream = one.number()
                await one.write(frame(WINDOW, SYN, stream, 0))
                await one.send(stream, lies[number % len(lies)])
        await trio.sleep(1)
    attack.assert_held(rss_mib=32, fds=20, joined=0.9)


def yamux_cheats() -> dict[str, list[bytes]]:
    """What breaks Yamux's rules; each list is sent by a peer of its own, frame after frame."""
    opening = frame(WINDOW, SYN, 1, 0)
    full = frame(DATA, 0, 1, 65536, bytes(65536))
    return {
        "more than the window": [opening, *[full] * 400],
        "one frame over any window": [opening, frame(DATA, 0, 1, 2**32 - 1, bytes(1000))],
        "a window that overflows": [opening, *[frame(WINDOW, 0, 1, 2**32 - 1)] * 200],
        "stream 0": [frame(WINDOW, SYN, 0, 0), frame(DATA, 0, 0, 4, b"abcd")] * 100,
        "our stream numbers": [frame(WINDOW, SYN, 2 * n, 0) for n in range(1, 200)],
        "one stream opened again and again": [opening] * 500,
        "streams nobody opened": [frame(DATA, 0, 2 * n + 1, 8, bytes(8)) for n in range(2000)],
        "acknowledgements nobody asked for": [frame(WINDOW, ACK, n, 0) for n in range(2000)],
        "data after FIN": [opening, frame(WINDOW, FIN, 1, 0), *[full] * 100],
        "data after RST": [opening, frame(WINDOW, RST, 1, 0), *[full] * 100],
        "FIN and RST repeated": [opening, *[frame(WINDOW, FIN | RST, 1, 0)] * 500],
        "a flood of pings": [frame(PING, SYN, 0, 7) * 500] * 60,
        "pongs to no ping": [frame(PING, ACK, 0, 7) * 500] * 20,
        "GOAWAY, then more": [frame(3, 0, 0, 0), opening, full],
        "an unknown type": [frame(9, 0, 1, 0)],
        "another version": [b"\x07" + frame(WINDOW, SYN, 1, 0)[1:]],
        "all flags": [frame(DATA, 0xFFFF, 1, 0)] * 100,
        "half a header": [b"\x00\x01\x00"],
        "half a frame": [opening, frame(DATA, 0, 1, 60000, bytes(10))],
        "empty data frames": [opening, frame(DATA, 0, 1, 0) * 1000],
    }


@pytest.mark.quick
async def test_yamux_cheats(siege: Siege) -> None:
    cheats = yamux_cheats()
    async with (
        siege.attack(
            "Yamux cheats",
            f"{len(cheats)} ways to break its rules, windows among them, a peer each",
        ) as attack,
        sessions(siege, [source(new_subnet()) for _ in cheats]) as opened,
    ):
        for one, frames in zip(opened, cheats.values(), strict=True):
            with trio.move_on_after(5):
                for each in frames:
                    if not await one.write(each):
                        break
        await trio.sleep(1)
    attack.assert_held(rss_mib=24, fds=40, joined=0.9)


async def test_noise_lies(siege: Siege) -> None:
    """The handshake is over, and what follows does not decrypt, or does not end."""
    lies = (
        b"\x00\x00" * 1000,
        b"\xff\xff" + os.urandom(65535),
        b"\x00\x10" + os.urandom(16),
        b"\x00\x08" + bytes(8),
        b"\xff\xff" + bytes(100),
        b"\x01",
        os.urandom(300_000),
    )
    async with (
        siege.attack(
            "Noise lies", f"{len(lies)} kinds of bytes that do not decrypt, twice each"
        ) as attack,
        sessions(siege, [source(new_subnet()) for _ in lies * 2]) as opened,
    ):
        for one, lie in zip(opened, lies * 2, strict=True):
            await one.write(frame(WINDOW, SYN, one.number(), 0))
            await one.write_raw(lie)
        await trio.sleep(1)
    attack.assert_held(rss_mib=16, fds=40, joined=0.9)


async def test_who_breaks_the_rules_is_kept_away(siege: Siege) -> None:
    """One address, ever new peers: the address itself runs out of patience."""
    host = source(new_subnet())
    outcome = []
    async with siege.attack(
        "Rule breakers return", "one address breaks Yamux's rules with 12 keys in turn"
    ) as attack:
        for _ in range(12):
            try:
                async with sessions(siege, [host]) as opened:
                    outcome.append(bool(opened))
                    for one in opened:
                        await one.write(b"\x07" * 12)
                        await trio.sleep(0.1)
            except OSError:
                outcome.append(False)
    assert outcome[:5] == [True] * 5
    assert not any(outcome[7:]), "kept away after six"
    attack.assert_held(rss_mib=16, fds=20, joined=0.9)
