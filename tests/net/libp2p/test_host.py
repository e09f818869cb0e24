"""What the libp2p network adds around the host: listening, restarting, dropping the frozen."""

import os
import signal
import subprocess
import sys
from typing import Any

import pytest
import trio
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID

from p2p_modelex.errors import BadInput, ConfigurationError, RemoteProtocolError, StreamBroken
from p2p_modelex.ids import format_peer_id, parse_peer_id
from p2p_modelex.net.abc import Stream
from p2p_modelex.net.libp2p.configuration import Libp2pConfiguration
from p2p_modelex.net.libp2p.host import parse_dial_address, parse_peer_address
from p2p_modelex.net.libp2p.network import Libp2pNetwork
from tests.net.contract import ECHO, LIMIT, PATIENCE_S, echo, wait_seen, wait_until
from tests.net.libp2p.attacker import connect, open_host
from tests.net.libp2p.test_mends import Gate


def make(**options: Any) -> Libp2pNetwork:
    network = Libp2pNetwork(os.urandom(32), Libp2pConfiguration(**options))
    network.handle(ECHO, echo, frame_limit=LIMIT)
    return network


async def test_a_second_node_on_a_port_is_an_error() -> None:
    first = make()
    async with first.run():
        second = make(listen=first.addresses)
        with pytest.raises(ConfigurationError, match="in use"):
            async with second.run():
                pass


@pytest.mark.parametrize("listen", ["nonsense", "/ip4/127.0.0.1/udp/1", "/dns4/localhost/tcp/1"])
async def test_only_tcp_addresses_are_listened_on(listen: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot listen"):
        async with make(listen=(listen,)).run():
            pass


async def test_every_listen_address_counts() -> None:
    network = make(listen=("/ip4/127.0.0.1/tcp/0", "/ip6/::1/tcp/0"))
    async with network.run():
        assert {address.split("/")[1] for address in network.addresses} == {"ip4", "ip6"}
        other = make()
        async with other.run():
            await other.dial(network.peer, network.addresses[-1:])


async def test_a_wildcard_is_told_as_addresses_that_can_be_dialled() -> None:
    network, other = make(listen=("/ip4/0.0.0.0/tcp/0",)), make()
    async with network.run(), other.run():
        assert network.addresses
        assert not any("0.0.0.0" in address for address in network.addresses)
        await other.dial(network.peer, network.addresses)
        assert (await wait_seen(other, network.peer, "identified")).addresses == network.addresses


async def test_a_host_that_fails_is_started_again_on_its_port() -> None:
    async def fail() -> None:
        raise RuntimeError("the host breaks")

    one, other = make(), make()
    async with one.run(), other.run():
        addresses = one.addresses
        await other.dial(one.peer, addresses)
        await wait_seen(one, other.peer, "connected")
        assert one._connections is not None
        one._connections._network.manager.run_task(fail)
        await wait_seen(one, other.peer, "disconnected")
        await wait_seen(other, one.peer, "disconnected")
        await wait_until(lambda: one._connections is not None)
        assert one.addresses == addresses
        await other.dial(one.peer, addresses)
        assert await other.ping(one.peer) >= 0
        assert one.statistics().restarts == 1


async def test_a_frozen_peer_is_dropped() -> None:
    one, other = make(ping_interval_s=0.1), make()
    async with one.run(), other.run():
        await one.dial(other.peer, other.addresses)
        await wait_seen(one, other.peer, "identified")
        # A peer that answers stays; silence between the two is enough to be asked.
        await trio.sleep(0.6)
        assert one.connected() == (other.peer,)
        assert other._connections is not None
        (connection,) = other._connections._network.get_connections()
        gate = Gate(connection.muxed_conn)
        await wait_seen(one, other.peer, "disconnected")
        gate.open()


async def test_net_2_a_frame_cut_off() -> None:
    rules: list[str] = []

    async def strict(stream: Stream) -> None:
        with pytest.raises(RemoteProtocolError) as caught:
            await stream.receive_frame()
        rules.append(caught.value.rule)

    victim = make()
    victim.handle("/test/cut/1", strict, frame_limit=LIMIT)
    async with victim.run(), open_host() as host:
        await connect(host, victim)
        stream = await host.new_stream(ID(victim.peer), [TProtocol("/test/cut/1")])
        await stream.write(b"\x00\x00\x00\x05cut")
        await stream.close_write()
        await wait_until(lambda: bool(rules))
    assert rules == ["NET-2"]


_CHILD = """
import os, sys, trio
from p2p_modelex.ids import format_peer_id
from p2p_modelex.net.libp2p.network import Libp2pNetwork

async def hold(stream):
    await stream.send_frame(b"here")
    await trio.sleep_forever()

async def main():
    network = Libp2pNetwork(os.urandom(32))
    network.handle("/test/hold/1", hold, frame_limit=100)
    async with network.run():
        print(network.addresses[0], format_peer_id(network.peer), flush=True)
        await trio.sleep_forever()

trio.run(main)
"""


@pytest.mark.slow
async def test_a_killed_process_breaks_its_streams() -> None:
    child = await trio.lowlevel.open_process([sys.executable, "-c", _CHILD], stdout=subprocess.PIPE)
    assert child.stdout is not None
    line = b""
    while not line.endswith(b"\n"):
        line += await child.stdout.receive_some()
    address, name = line.decode().split()
    peer = parse_peer_id(name)
    network = make()
    async with network.run():
        await network.dial(peer, [address])
        stream = await network.open_stream(peer, "/test/hold/1", frame_limit=100)
        assert await stream.receive_frame() == b"here"
        child.send_signal(signal.SIGKILL)
        with (
            trio.fail_after(PATIENCE_S),
            pytest.raises(StreamBroken, match="the connection to the peer broke"),
        ):
            await stream.receive_frame()
        with pytest.raises(StreamBroken, match="the connection to the peer broke"):
            await stream.send_frame(b"x")
        await wait_seen(network, peer, "disconnected")
    await child.wait()
    await child.stdout.aclose()


@pytest.mark.parametrize(
    "text", ["", "nonsense", "/ip4/1.2.3.4/udp/1/quic-v1", "/ip4/1.2.3.4", "/unix/tmp"]
)
def test_only_tcp_is_dialled(text: str) -> None:
    with pytest.raises(BadInput):
        parse_dial_address(text)


def test_a_bootstrap_address_names_its_peer() -> None:
    peer = make().peer
    text = "/dns4/example.org/tcp/4001"
    assert parse_peer_address(f"{text}/p2p/{format_peer_id(peer)}") == (peer, text)
    assert str(parse_dial_address(f"{text}/p2p/{format_peer_id(peer)}")) == text
    with pytest.raises(BadInput, match="p2p"):
        parse_peer_address(text)
    with pytest.raises(BadInput):
        Libp2pNetwork(b"short")
