"""Peers that lie about who they are and where others live: identify, the address book, the DHT."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import trio
from libp2p.identity.identify.identify import ID as IDENTIFY
from libp2p.identity.identify.identify import _mk_identify_protobuf
from libp2p.io.trio import TrioTCPStream
from libp2p.kad_dht.pb.kademlia_pb2 import Message
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.utils import encode_varint_prefixed
from multiaddr import Multiaddr

from p2p_modelex.net.libp2p.peer_table import PROTOCOL as KAD
from tests.attacks.harness import Siege
from tests.attacks.toolbox import (
    MULTISTREAM,
    knock,
    line,
    new_subnet,
    peer_of,
    sessions,
    source,
)
from tests.net.libp2p.attacker import open_host

SECTION = "Attacks on the transport"
OPTIONS = {"network": {"loopback_exempt": False}}

Tell = Callable[[Any, Any], Awaitable[None]]


@asynccontextmanager
async def liar(siege: Siege, tell: Tell, host: str | None = None) -> AsyncIterator[Any]:
    """A whole host, connected to the victim, that answers identify by `tell(host, stream)`."""
    async with open_host() as attacker:

        async def answer(stream: Any) -> None:
            await tell(attacker, stream)

        attacker.set_stream_handler(IDENTIFY, answer)
        tcp = await knock(siege, host or source(new_subnet()))
        raw = RawConnection(TrioTCPStream(tcp), True)
        await attacker.get_network().upgrade_outbound_raw_conn(raw, peer_of(siege))
        yield attacker


async def say(stream: Any, answer: Any) -> None:
    await stream.write(encode_varint_prefixed(answer.SerializeToString()))
    await stream.close()


async def many_addresses(host: Any, stream: Any) -> None:
    answer = _mk_identify_protobuf(host, None)
    # /ip4/10.0.x.y/tcp/1 in binary: building 60,000 Multiaddrs would take longer than the attack.
    answer.listen_addrs.extend(
        b"\x04\x0a\x00" + number.to_bytes(2, "big") + b"\x06\x00\x01" for number in range(60_000)
    )
    await say(stream, answer)


async def many_protocols(host: Any, stream: Any) -> None:
    answer = _mk_identify_protobuf(host, None)
    answer.protocols.extend(f"{number:x}" for number in range(150_000))
    await say(stream, answer)


async def another_key(host: Any, stream: Any) -> None:
    answer = _mk_identify_protobuf(host, None)
    answer.public_key = answer.public_key[:-32] + os.urandom(32)
    answer.signedPeerRecord = os.urandom(4000)
    await say(stream, answer)


async def huge(host: Any, stream: Any) -> None:
    await stream.write(b"\xff\xff\xff\xff\x0f" + bytes(200_000))


async def garbage(host: Any, stream: Any) -> None:
    await stream.write(b"\x80\x80\x01" + os.urandom(16384))
    await stream.close()


async def silence(host: Any, stream: Any) -> None:
    await trio.sleep(30)


async def endless(host: Any, stream: Any) -> None:
    with suppress(Exception):
        for _ in range(400):
            await stream.write(bytes(65536))


LIES = (many_addresses, many_protocols, another_key, huge, garbage, silence, endless)


async def test_identify_lies(siege: Siege) -> None:
    async with (
        siege.attack(
            "Identify lies",
            "60,000 addresses, 150,000 protocols, another's key, 4 GiB, noise, silence",
        ) as attack,
        trio.open_nursery() as nursery,
    ):

        async def lie(tell: Tell) -> None:
            with suppress(Exception):
                async with liar(siege, tell):
                    await trio.sleep(4)

        for tell in LIES * 3:
            nursery.start_soon(lie, tell)
    attack.assert_held(rss_mib=32, fds=40, joined=0.9)


async def test_address_book_poisoning(siege: Siege) -> None:
    """Ever new peers, each with as many addresses as are kept, pointing at somebody else."""

    async def point_elsewhere(host: Any, stream: Any) -> None:
        answer = _mk_identify_protobuf(host, None)
        for number in range(16):
            answer.listen_addrs.append(
                Multiaddr(f"/ip4/8.{number}.{os.urandom(1)[0]}.8/tcp/4001").to_bytes()
            )
        await say(stream, answer)

    async with siege.attack(
        "Address book poisoning", "60 peers come and go, each with 16 addresses of others"
    ) as attack:
        turn = trio.CapacityLimiter(6)

        async def visit(host: str) -> None:
            async with turn:
                with suppress(Exception):
                    async with liar(siege, point_elsewhere, host):
                        await trio.sleep(0.5)

        async with trio.open_nursery() as nursery:
            for _ in range(60):
                nursery.start_soon(visit, source(new_subnet()))
    attack.note = f"{attack.statistics['peers_known']} peers known afterwards"
    attack.assert_held(rss_mib=24, fds=40, joined=0.9)
    assert attack.statistics["peers_known"] <= 40


def kad_messages() -> list[bytes]:
    """One of each thing that the DHT could be asked to take."""
    ask = Message(type=Message.MessageType.FIND_NODE, key=os.urandom(32))
    provide = Message(type=Message.MessageType.ADD_PROVIDER, key=os.urandom(32))
    for _ in range(20):
        provider = provide.providerPeers.add()
        provider.id = os.urandom(38)
        provider.addrs.extend(
            [Multiaddr(f"/ip4/9.9.9.9/tcp/{n}").to_bytes() for n in range(1, 300)]
        )
    put = Message(type=Message.MessageType.PUT_VALUE, key=b"/v/" + os.urandom(32))
    put.record.key, put.record.value = put.key, os.urandom(30_000)
    closer = Message(type=Message.MessageType.FIND_NODE, key=os.urandom(32))
    for _ in range(200):
        closer.closerPeers.add().id = os.urandom(38)
    return [encode_varint_prefixed(m.SerializeToString()) for m in (ask, provide, put, closer)]


async def test_dht_poisoning(siege: Siege) -> None:
    async with (
        siege.attack(
            "DHT poisoning",
            "8 peers send 3,000 lookups, providers, values and lists of peers; noise; 4 GiB",
            at_least_s=6,
        ) as attack,
        sessions(siege, [source(new_subnet()) for _ in range(8)]) as opened,
    ):
        async with trio.open_nursery() as nursery:
            for one in opened:
                nursery.start_soon(_poison, one)
        await trio.sleep(1)
    attack.assert_held(rss_mib=32, fds=20, joined=0.9)


async def _poison(one: Any) -> None:
    hello = MULTISTREAM + line(KAD)
    for message in kad_messages():
        stream = await one.open(KAD)
        for _ in range(100):
            if not await one.send(stream, message[:65536]):
                return
        await trio.sleep(0.1)
    for nonsense in (b"\xff\xff\xff\xff\x0f", os.urandom(5000), b"\x00" * 5000, hello):
        await one.send(await one.open(KAD), nonsense)
