"""The gate on real sockets: who misbehaves is disconnected and kept away, in both directions."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from p2p_modelex.errors import DialFailed, NetworkError
from p2p_modelex.limits import CONNECTIONS_PER_PEER_MAX
from p2p_modelex.net.abc import Stream
from p2p_modelex.net.libp2p import ping as ping_module
from p2p_modelex.net.libp2p.network import Libp2pNetwork
from p2p_modelex.net.libp2p.ping import PING_ID
from tests.net.libp2p.attacker import connect, open_host

PATIENCE_S = 10.0
SINK = "/test/sink/1"


async def sink(stream: Stream) -> None:
    while True:
        await stream.receive_frame()


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[Libp2pNetwork, Libp2pNetwork]]:
    """A victim and another that has dialled it."""
    victim, other = Libp2pNetwork(os.urandom(32)), Libp2pNetwork(os.urandom(32))
    victim.handle(SINK, sink, frame_limit=100)
    with trio.fail_after(PATIENCE_S):
        async with victim.run(), other.run():
            await other.dial(victim.peer, victim.addresses)
            while not victim.connected():
                await trio.sleep(0.01)
            yield victim, other


async def wait_alone(network: Libp2pNetwork) -> None:
    while network.connected():
        await trio.sleep(0.01)


async def assert_kept_away(victim: Libp2pNetwork, other: Libp2pNetwork) -> None:
    await wait_alone(victim)
    await wait_alone(other)
    with pytest.raises(DialFailed, match="kept away"):
        await victim.dial(other.peer, other.addresses)
    # The handshake may be done before the victim knows who it is.
    with pytest.raises(NetworkError):
        await other.dial(victim.peer, victim.addresses)
        await other.ping(victim.peer)
    assert not victim.connected()


async def test_who_has_too_many_offences_is_kept_away() -> None:
    async with pair() as (victim, other):
        victim.penalize(other.peer, "bad_signature")
        assert victim.connected() == (other.peer,)
        victim.penalize(other.peer, "bad_signature")
        await assert_kept_away(victim, other)


async def test_frames_over_the_limit_are_an_offence() -> None:
    async with pair() as (victim, other):
        for _ in range(4):
            stream = await other.open_stream(victim.peer, SINK, frame_limit=1000)
            await stream.send_frame(bytes(101))
            with pytest.raises(NetworkError):
                await stream.receive_frame()
        await assert_kept_away(victim, other)


async def test_others_are_served_meanwhile() -> None:
    async with pair() as (victim, other):
        for _ in range(2):
            victim.penalize(other.peer, "equivocation")
        third = Libp2pNetwork(os.urandom(32))
        async with third.run():
            await third.dial(victim.peer, victim.addresses)
            assert await third.ping(victim.peer) > 0


async def test_a_peers_own_oldest_connections_make_room() -> None:
    victim = Libp2pNetwork(os.urandom(32))
    with trio.fail_after(PATIENCE_S):
        async with victim.run(), open_host() as attacker:
            made = []
            for _ in range(CONNECTIONS_PER_PEER_MAX + 2):
                made.append(await connect(attacker, victim))
                # Dialling again would find the one that is there.
                attacker.get_network().connections.clear()
            for old in made[:2]:
                await old.muxed_conn.event_closed.wait()
            assert not made[-1].muxed_conn.is_closed
            for connection in made:
                await connection.close()


async def test_an_idle_ping_stream_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ping_module, "_PING_IDLE_S", 0.1)
    async with pair() as (victim, other):
        stream = await other.open_stream(victim.peer, PING_ID, frame_limit=64)
        await stream.send_frame(b"x")
        assert await stream.receive_frame() == b"x"
        with pytest.raises(NetworkError):
            await stream.receive_frame()
