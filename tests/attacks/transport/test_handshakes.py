"""Handshakes that stop half-way, crawl, lie about lengths or are noise, at every step."""

import os
from collections.abc import Awaitable, Callable
from contextlib import suppress

import trio

from tests.attacks.harness import Siege
from tests.attacks.toolbox import (
    DATA,
    MULTISTREAM,
    SYN,
    WINDOW,
    Crowd,
    frame,
    is_shut,
    line,
    new_subnet,
    secure,
    send,
    source,
)

SECTION = "Attacks on the transport"
OPTIONS = {"network": {"loopback_exempt": False}}

NOISE = line("/noise")
Greet = Callable[[trio.SocketStream], Awaitable[None]]


def noise_message(payload: bytes, length: int | None = None) -> bytes:
    """A Noise message: two bytes of length, which may lie, and the payload."""
    return (len(payload) if length is None else length).to_bytes(2, "big") + payload


FIRST = noise_message(os.urandom(32))  # an ephemeral key is any 32 bytes

STEPS = {
    "nothing": b"",
    "half a multistream header": MULTISTREAM[:7],
    "the multistream header": MULTISTREAM,
    "half of /noise": MULTISTREAM + NOISE[:4],
    "/noise agreed": MULTISTREAM + NOISE,
    "half of Noise message 1": MULTISTREAM + NOISE + FIRST[:20],
    "Noise message 1": MULTISTREAM + NOISE + FIRST,
    "half of Noise message 3": MULTISTREAM + NOISE + FIRST + noise_message(b"x" * 20, 64),
}

LIES = {
    "Noise message of 65,535 bytes": MULTISTREAM + NOISE + noise_message(bytes(65535)),
    "empty Noise message": MULTISTREAM + NOISE + noise_message(b""),
    "Noise message 1 too short": MULTISTREAM + NOISE + noise_message(bytes(31)),
    "zero as the ephemeral key": MULTISTREAM + NOISE + noise_message(bytes(32)),
    "garbage as Noise message 3": MULTISTREAM + NOISE + FIRST + noise_message(os.urandom(200)),
    "multistream line of 2^63 bytes": b"\xff" * 8 + b"\x7f",
    "multistream length that never ends": b"\xff" * 64,
    "multistream line of no bytes": b"\x00" * 64,
    "no newline": b"\x05abcde",
    "not UTF-8": MULTISTREAM + line(b"\xff\xfe\xfd"),
    "another protocol": line("/http/1.1"),
    "plaintext": MULTISTREAM + line("/plaintext/2.0.0") + bytes(64),
    "ls": MULTISTREAM + line("ls") * 200,
    "a thousand protocols": MULTISTREAM + line("/x") * 1000,
    "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS": bytes.fromhex("16030100a5010000a10303") + os.urandom(160),
}


def say(payload: bytes) -> Greet:
    async def greet(stream: trio.SocketStream) -> None:
        await send(stream, payload)

    return greet


async def count_open(crowd: Crowd) -> int:
    """How many connections the victim has left open; a busy machine gets some seconds more."""
    waiting = list(crowd.streams)
    with trio.move_on_after(10):
        while waiting:
            waiting = [stream for stream in waiting if not await is_shut(stream, 0.1)]
    return len(waiting)


async def test_half_open_at_every_step(siege: Siege) -> None:
    async with (
        siege.attack(
            "Half-open handshakes", "30 connections stop at each of 8 steps", at_least_s=9
        ) as attack,
        Crowd() as crowd,
    ):
        for payload in STEPS.values():
            hosts = [source(new_subnet()) for _ in range(30)]
            await crowd.add(siege, hosts, say(payload))
        await trio.sleep(9)
        open_still = await count_open(crowd)
    assert open_still == 0, "a handshake has a deadline"
    attack.assert_held(rss_mib=16, fds=80, joined=0.9)


async def test_slowloris(siege: Siege) -> None:
    whole = MULTISTREAM + NOISE + FIRST + noise_message(bytes(200))

    async def crawl(stream: trio.SocketStream) -> None:
        for number in range(len(whole)):
            if not await send(stream, whole[number : number + 1]):
                return
            await trio.sleep(0.2)

    async with (
        siege.attack(
            "Slowloris", "60 handshakes at 5 bytes a second from 60 subnets", at_least_s=10
        ) as attack,
        Crowd() as crowd,
    ):
        with trio.move_on_after(11):
            await crowd.add(siege, [source(new_subnet()) for _ in range(60)], crawl, at_once=60)
        open_still = await count_open(crowd)
    assert open_still == 0
    attack.assert_held(rss_mib=16, fds=80, joined=0.9)


async def test_lies_in_the_handshake(siege: Siege) -> None:
    async with (
        siege.attack(
            "Malformed handshakes", f"{len(LIES)} lies about lengths, names, keys, 10 times each"
        ) as attack,
        Crowd() as crowd,
    ):
        for payload in LIES.values():
            hosts = [source(new_subnet()) for _ in range(10)]
            await crowd.add(siege, hosts, say(payload))
        await trio.sleep(1)
    attack.assert_held(rss_mib=16, fds=120, joined=0.9)


async def test_no_muxer(siege: Siege) -> None:
    """Noise is done, so it costs the victim its 10 ms; then nothing, or nonsense, follows."""
    offers: list[bytes] = [b"", MULTISTREAM, MULTISTREAM + line("/mplex/6.7.0"), b"\xff" * 100]
    held = []
    async with siege.attack(
        "No muxer agreed", "40 peers finish Noise and then say nothing, or nonsense", at_least_s=9
    ) as attack:
        for number in range(40):
            with suppress(Exception):
                held.append(
                    await secure(siege, source(new_subnet()), muxer=offers[number % len(offers)])
                )
        await trio.sleep(9)
        for one in held:
            await one.close()
    assert len(held) == 40
    attack.assert_held(rss_mib=16, fds=80, joined=0.9)


async def test_an_address_that_never_finishes_is_kept_away(siege: Siege) -> None:
    """The reputation of an address reaches the gate: later connections are closed at once."""
    hosts = [source(new_subnet())]
    async with (
        siege.attack(
            "Failed handshakes", "one address fails 200 of them as fast as it may"
        ) as attack,
        Crowd() as crowd,
    ):
        for _ in range(200):
            await crowd.add(siege, hosts, say(b"\x00" * 64))
            await trio.sleep(0.02)
    attack.assert_held(rss_mib=16, fds=40, joined=0.9)


async def test_bytes_before_the_muxer_is_told(siege: Siege) -> None:
    """Frames sent together with the end of the handshake are frames, not the handshake's."""
    async with siege.attack("Early frames", "200 streams in the handshake's last packet") as attack:
        session = await secure(siege, source(new_subnet()))
        early = b"".join(
            frame(WINDOW, SYN, 1 + 2 * n, 0) + frame(DATA, 0, 1 + 2 * n, 4, b"\x03abc")
            for n in range(200)
        )
        await session.write(early)
        await trio.sleep(1)
        await session.close()
    attack.assert_held(rss_mib=16, fds=20, joined=0.9)
