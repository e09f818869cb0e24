"""Each mend: the fault shows without it, and does not with it. The table is docs/libp2p.md."""

import gc
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from google.protobuf.message import DecodeError
from libp2p.custom_types import TProtocol
from libp2p.network.stream.exceptions import StreamError
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.pubsub import gossipsub, pubsub
from libp2p.security.noise import transport as noise_transport
from libp2p.stream_muxer.exceptions import MuxedStreamError, MuxedStreamReset
from libp2p.utils import encode_varint_prefixed

from p2p_modelex.errors import ConfigurationError, DialFailed
from p2p_modelex.net.libp2p import host as host_module
from p2p_modelex.net.libp2p import mends
from p2p_modelex.net.libp2p.configuration import Libp2pConfiguration
from p2p_modelex.net.libp2p.gossip import GOSSIPSUB_ID
from p2p_modelex.net.libp2p.muxed_stream import DATA, HEADER
from p2p_modelex.net.libp2p.network import Libp2pNetwork
from tests.net.contract import PATIENCE_S, TOPIC, accept, wait_seen, wait_until
from tests.net.libp2p.attacker import connect, connect_hosts, open_host

RAW = TProtocol("/test/raw/1")
LIBP2P_NOISE = noise_transport.Transport

# A host that dies of a fault leaves sockets open; that is part of the fault.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def collect_what_a_dead_host_leaves() -> Iterator[None]:
    yield
    gc.collect()


@contextmanager
def without(names: tuple[str, ...], mended: bool) -> Iterator[None]:
    """The block runs with every mend, or without those named."""
    mends.apply_mends()
    with nullcontext() if mended else mends.unmended(*names):
        yield


def make_victim(configuration: Libp2pConfiguration | None = None) -> Libp2pNetwork:
    victim = Libp2pNetwork(os.urandom(32), configuration)
    victim.subscribe(TOPIC, accept)
    return victim


async def send_bad_text(host: Any, victim: Libp2pNetwork) -> None:
    stream = await host.get_network().new_stream(ID(victim.peer))
    await stream.write(b"\x03\xff\xfe\n")


async def send_bad_gossip(host: Any, victim: Libp2pNetwork) -> None:
    stream = await host.new_stream(ID(victim.peer), [TProtocol(GOSSIPSUB_ID)])
    await stream.write(encode_varint_prefixed(b"\xff" * 20))


# Where a second mend also holds the fault back, both are taken out.
KILLERS = [
    (send_bad_text, ("handlers", "protocol-names")),
    (send_bad_gossip, ("handlers", "gossip-stream")),
]


@pytest.mark.parametrize("mended", [True, False], ids=["mended", "unmended"])
@pytest.mark.parametrize(("attack", "names"), KILLERS)
async def test_bytes_that_kill_the_host(
    attack: Callable[[Any, Libp2pNetwork], Awaitable[None]], names: tuple[str, ...], mended: bool
) -> None:
    victim, witness = make_victim(), make_victim()
    with without(names, mended):
        async with victim.run(), witness.run(), open_host() as host:
            await witness.dial(victim.peer, victim.addresses)
            await wait_seen(victim, witness.peer, "connected")
            await connect(host, victim)
            await attack(host, victim)
            if mended:
                for _ in range(10):
                    await witness.ping(victim.peer)
                assert victim.statistics().restarts == 0
            else:
                await wait_seen(victim, witness.peer, "disconnected")
                await wait_until(lambda: victim.statistics().restarts > 0)


@pytest.mark.parametrize(
    ("error", "level", "told"),
    [
        (MuxedStreamReset("the stream was reset"), logging.DEBUG, "has ended"),
        (DecodeError("no protobuf"), logging.INFO, "is malformed"),
    ],
    ids=["reset", "malformed"],
)
async def test_who_leaves_is_not_called_malformed(
    error: Exception, level: int, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    dead: list[str] = []
    owner = SimpleNamespace(_handle_dead_peer=dead.append)
    stream = SimpleNamespace(
        muxed_conn=SimpleNamespace(peer_id="somebody"), reset=trio.lowlevel.checkpoint
    )

    async def fail(_pubsub: Any, _stream: Any) -> None:
        raise error

    with caplog.at_level(logging.DEBUG, logger=mends.__name__):
        await mends._contain_gossip_stream(fail)(owner, stream)
    [record] = caplog.records
    assert (record.levelno, dead) == (level, ["somebody"])
    assert told in record.getMessage()


@pytest.mark.parametrize("mended", [True, False], ids=["mended", "unmended"])
async def test_handlers_an_exception_ends_one_stream(mended: bool) -> None:
    async def fail(stream: Any) -> None:
        await stream.read(1)
        raise RuntimeError("a bug")

    async def attack() -> None:
        async with open_host() as victim, open_host() as host:
            victim.set_stream_handler(RAW, fail)
            await connect_hosts(host, victim)
            for _ in range(2):
                stream = await host.new_stream(victim.get_id(), [RAW])
                await stream.write(b"x")
                with pytest.raises(StreamError):
                    await stream.read(1)
                await trio.sleep(0.05)

    with without(("handlers",), mended):
        if mended:
            await attack()
        else:
            with pytest.raises(BaseExceptionGroup):
                await attack()


@pytest.mark.parametrize("mended", [True, False], ids=["mended", "unmended"])
async def test_inbound_tokens_are_given_back(mended: bool) -> None:
    victim = make_victim(Libp2pConfiguration(connections_max=3))
    visitor = make_victim(Libp2pConfiguration(dial_timeout_s=0.5))

    async def visit(times: int) -> None:
        for _ in range(times):
            await visitor.dial(victim.peer, victim.addresses)
            await wait_seen(victim, visitor.peer, "connected")
            await visitor.disconnect(victim.peer)
            await wait_seen(victim, visitor.peer, "disconnected")

    # The count of our own admission would refuse them too, so it steps aside.
    with without(("inbound-tokens", "admission"), mended):
        async with victim.run(), visitor.run():
            if mended:
                await visit(6)
            else:
                with pytest.raises(DialFailed):
                    await visit(6)


@pytest.mark.parametrize("mended", [True, False], ids=["mended", "unmended"])
async def test_admission_one_address_cannot_take_every_place(mended: bool) -> None:
    victim = make_victim(Libp2pConfiguration(connections_per_ip_max=2, loopback_exempt=False))
    with without(("admission",), mended):
        async with victim.run():
            port = int(victim.addresses[0].rpartition("/")[2])
            silent = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(4)]
            refused = 0
            for stream in silent:
                # Noise negotiation starts with the victim's own greeting: silence is closed.
                with trio.move_on_after(0.3):
                    while await stream.receive_some(100):
                        pass
                    refused += 1
            assert refused == (2 if mended else 0)
            for stream in silent:
                await stream.aclose()


@pytest.mark.parametrize("mended", [True, False], ids=["mended", "unmended"])
async def test_dial_delay(mended: bool) -> None:
    with without(("dial-delay",), mended):
        waited = []
        for _ in range(3):
            async with open_host() as one, open_host() as other:
                started = time.perf_counter()
                await one.connect(PeerInfo(other.get_id(), other.get_addrs()))
                waited.append(time.perf_counter() - started)
        # The quickest, since a loaded machine delays the others.
        assert (min(waited) >= 0.25) is not mended


class Gate:
    """Holds back what one connection reads, as a peer would that stops reading its socket."""

    def __init__(self, muxed: Any) -> None:
        self._read = muxed.secured_conn.read
        self._open = trio.Event()
        muxed.secured_conn.read = self._gated

    def open(self) -> None:
        self._open.set()

    async def _gated(self, n: int | None = None) -> Any:
        await self._open.wait()
        return await self._read(n)


def only_connection(host: Any) -> Any:
    (connection,) = host.get_network().get_connections()
    return connection


@pytest.mark.parametrize("mended", [True, False], ids=["mended", "unmended"])
async def test_muxer_a_cancelled_write_spares_the_connection(
    mended: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def drain(stream: Any) -> None:
        while True:
            await stream.read(65536)

    if not mended:
        # Our channel keeps what a cancelled write has left, which holds the fault back too.
        monkeypatch.setattr(host_module, "NoiseTransport", LIBP2P_NOISE)
    with without(("muxer",), mended):
        async with open_host() as sender, open_host() as reader:
            reader.set_stream_handler(RAW, drain)
            await connect_hosts(sender, reader)
            streams = [await sender.new_stream(reader.get_id(), [RAW]) for _ in range(40)]
            gate = Gate(only_connection(reader).muxed_conn)
            with trio.move_on_after(0.5):
                async with trio.open_nursery() as nursery:
                    for stream in streams:
                        nursery.start_soon(stream.write, bytes(256 * 1024))
            gate.open()
            alive = True
            try:
                with trio.fail_after(2):
                    again = await sender.new_stream(reader.get_id(), [RAW])
                    await again.write(b"x")
            except Exception:  # which one depends on where the frame was cut
                alive = False
            assert alive is mended


@pytest.mark.parametrize("mended", [True, False], ids=["mended", "unmended"])
async def test_muxer_a_cancelled_read_loses_nothing(mended: bool) -> None:
    total, piece = 400, b"0123456789"

    async def drip(stream: Any) -> None:
        for _ in range(total):
            await stream.write(piece)
            await trio.sleep(0.0005)
        await stream.close()

    with without(("muxer",), mended):
        async with open_host() as sender, open_host() as reader:
            sender.set_stream_handler(RAW, drip)
            await connect_hosts(reader, sender)
            stream = await reader.new_stream(sender.get_id(), [RAW])
            received = b""
            with pytest.raises((StreamError, MuxedStreamError)), trio.fail_after(PATIENCE_S):
                while True:
                    # Deadlines are checked when Trio switches tasks, so this one strikes anywhere.
                    with trio.move_on_after(0.0003):
                        received += await stream.read(100)
            assert (received == piece * total) is mended


@pytest.mark.slow
@pytest.mark.parametrize("mended", [True, False], ids=["mended", "unmended"])
async def test_muxer_a_reader_may_pause(mended: bool) -> None:
    resume = trio.Event()

    async def pause(stream: Any) -> None:
        await resume.wait()
        while True:
            await stream.read(65536)

    with without(("muxer",), mended):
        async with open_host() as sender, open_host() as reader:
            reader.set_stream_handler(RAW, pause)
            await connect_hosts(sender, reader)
            stream = await sender.new_stream(reader.get_id(), [RAW])
            outcome = "waiting"
            try:
                with trio.move_on_after(5.2 if mended else 9):
                    await stream.write(bytes(24 * 1024 * 1024))
            except StreamError:
                outcome = "broken"
            assert outcome == ("waiting" if mended else "broken")
            resume.set()


@pytest.mark.parametrize("mended", [True, False], ids=["mended", "unmended"])
async def test_muxer_a_peer_cannot_ignore_its_window(mended: bool) -> None:
    async def never_read(_stream: Any) -> None:
        await trio.sleep_forever()

    with without(("muxer",), mended):
        async with open_host() as attacker, open_host() as victim:
            victim.set_stream_handler(RAW, never_read)
            await connect_hosts(attacker, victim)
            stream = await attacker.new_stream(victim.get_id(), [RAW])
            flood = HEADER.pack(0, DATA, 0, stream.muxed_stream.stream_id, 60_000) + bytes(60_000)
            muxed = only_connection(victim).muxed_conn
            with trio.move_on_after(PATIENCE_S):
                for _ in range(70):
                    try:
                        await stream.muxed_conn.secured_conn.write(flood)
                    except Exception:  # cut off, as it should be
                        break
                if mended:
                    await wait_until(lambda: bool(muxed.is_closed))
                else:
                    await wait_until(
                        lambda: sum(map(len, muxed.stream_buffers.values())) == 70 * 60_000
                    )
            assert muxed.is_closed is mended


@pytest.mark.parametrize("mended", [True, False], ids=["mended", "unmended"])
async def test_muxer_too_many_streams_is_an_error_and_not_a_hang(mended: bool) -> None:
    with without(("muxer", "handlers"), mended):
        async with open_host() as one, open_host() as other:
            connection = await connect_hosts(one, other)
            expected = MuxedStreamError if mended else trio.TooSlowError
            with pytest.raises(expected), trio.fail_after(3):
                for _ in range(257):
                    await connection.muxed_conn.open_stream()


@pytest.mark.parametrize("mended", [True, False], ids=["mended", "unmended"])
async def test_root_logger_is_left_alone(mended: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(logging, "debug", lambda message, *_: calls.append(message))
    with without(("root-logger",), mended):
        async with open_host() as one, open_host() as other:
            await connect_hosts(one, other)
    assert bool(calls) is not mended


@pytest.mark.parametrize("mended", [True, False], ids=["mended", "unmended"])
@pytest.mark.parametrize("owner", [pubsub, gossipsub])
async def test_the_sender_record_is_made_once(owner: Any, mended: bool) -> None:
    with without(("sender-record",), mended):
        async with open_host() as host:
            looked = 0
            addresses = host.get_addrs()

            def get_addrs() -> Any:
                nonlocal looked
                looked += 1
                return addresses

            host.get_addrs = get_addrs
            records = {owner.env_to_send_in_RPC(host)[0] for _ in range(5)}
            assert len(records) == 1
            assert (looked <= 2) is mended


def test_every_mend_is_tested_and_in_the_table() -> None:
    here = Path(__file__)
    others = ("test_hostile_input.py", "test_peer_table.py")
    tested = here.read_text() + "".join(here.with_name(name).read_text() for name in others)
    told = (Path(__file__).parents[3] / "docs" / "libp2p.md").read_text()
    for mend in mends.MENDS:
        assert f'"{mend.name}"' in tested
        assert f"`{mend.name}`" in told


def test_another_version_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"0\.9\.0"):
        mends.validate_version("0.9.0")
