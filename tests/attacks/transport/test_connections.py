"""Too many connections: from one address, one subnet, everywhere; silent, broken, repeated."""

import os
import socket
import struct
from contextlib import suppress
from itertools import count

import trio

from tests.attacks.harness import Siege
from tests.attacks.toolbox import (
    Crowd,
    is_shut,
    knock,
    new_subnet,
    secure,
    send,
    sessions,
    source,
)

SECTION = "Attacks on the transport"
OPTIONS = {"network": {"loopback_exempt": False}}

_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


async def test_flood_from_one_address(siege: Siege) -> None:
    subnet = new_subnet()
    async with (
        siege.attack("Flood, one address", "1,000 silent connections at once") as attack,
        Crowd() as crowd,
    ):
        await crowd.add(siege, [source(subnet)] * 1000)
        held = sum([not await is_shut(stream, 0.01) for stream in crowd.streams[-200:]])
    assert held <= 20
    attack.assert_held(rss_mib=16, fds=64, joined=1.0)


async def test_flood_from_many_addresses(siege: Siege) -> None:
    hosts = [source(new_subnet()) for _ in range(600)]
    async with (
        siege.attack(
            "Flood, 600 subnets", "600 silent connections, each a /24 of its own"
        ) as attack,
        Crowd() as crowd,
    ):
        await crowd.add(siege, hosts)
        await trio.sleep(2)
    attack.assert_held(rss_mib=24, fds=120, joined=0.9)


async def test_flood_from_one_subnet(siege: Siege) -> None:
    subnet = new_subnet()
    hosts = [source(subnet, 1 + n % 250) for n in range(120)]
    async with (
        siege.attack("Flood, one subnet", "120 whole handshakes from one /24") as attack,
        sessions(siege, hosts) as opened,
    ):
        assert len(opened) <= 64
        await trio.sleep(1)
    attack.assert_held(rss_mib=40, fds=80, joined=0.9)


async def test_all_places_taken(siege: Siege) -> None:
    hosts = [
        source(subnet, 1 + n) for subnet in (new_subnet() for _ in range(40)) for n in range(7)
    ]
    async with (
        siege.attack(
            "All places taken",
            "280 whole handshakes from 40 subnets against 192 places",
            at_least_s=8,
        ) as attack,
        sessions(siege, hosts, at_once=16) as opened,
    ):
        assert len(opened) >= 192
        await trio.sleep(3)
        assert siege.victim.ask()["connections"] <= 200
    attack.assert_held(rss_mib=80, fds=280, joined=0.8)


async def test_churn(siege: Siege) -> None:
    subnets = [new_subnet() for _ in range(40)]
    hosts = [source(subnet, 1 + n) for n in range(8) for subnet in subnets]
    done = count()
    async with siege.attack(
        "Churn", "300 peers connect, finish both handshakes and hang up", at_least_s=8
    ) as attack:
        turn = trio.CapacityLimiter(8)

        async def come_and_go(host: str) -> None:
            async with turn:
                with suppress(Exception):
                    await (await secure(siege, host)).close()
                    next(done)

        async with trio.open_nursery() as nursery:
            for host in hosts[:300]:
                nursery.start_soon(come_and_go, host)
    assert next(done) >= 290
    attack.assert_held(rss_mib=24, fds=80, joined=0.9)


async def test_reset_at_once(siege: Siege) -> None:
    hosts = [source(new_subnet()) for _ in range(50)]
    async with siege.attack("RST", "2,000 connections reset as soon as they are made") as attack:
        for number in range(2000):
            with suppress(OSError):
                stream = await knock(siege, hosts[number % len(hosts)])
                stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
                stream.socket.close()
    attack.assert_held(rss_mib=16, fds=80, joined=0.9)


async def test_random_bytes(siege: Siege) -> None:
    hosts = [source(new_subnet()) for _ in range(50)]

    async def babble(stream: trio.SocketStream) -> None:
        for _ in range(8):
            if not await send(stream, os.urandom(8192)):
                return

    async with (
        siege.attack("Random bytes", "400 connections that send 64 KiB of noise each") as attack,
        Crowd() as crowd,
    ):
        await crowd.add(siege, hosts * 8, babble)
    attack.assert_held(rss_mib=16, fds=120, joined=0.9)


async def test_one_peer_many_connections(siege: Siege) -> None:
    seed = os.urandom(32)
    hosts = [source(new_subnet()) for _ in range(40)]
    opened = []
    async with siege.attack("One peer, 40 connections", "the same key from 40 subnets") as attack:
        for host in hosts:
            with suppress(Exception):
                opened.append(await secure(siege, host, seed))
        await trio.sleep(1)
        shut = 0
        for one in opened:
            with trio.move_on_after(0.05), suppress(Exception):
                while await one.read():
                    pass
                shut += 1
        for one in opened:
            await one.close()
    assert len(opened) >= 35
    attack.assert_held(rss_mib=24, fds=40, joined=0.9)
