"""What attackers are made of: raw sockets from any loopback address, sessions behind Noise.

An attacker never comes from 127.0.0.1, where the honest requester lives. `source(subnet, host)`
names an address of its own; each `subnet` below 256 is another /24.
"""

import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any, Self

import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.io.trio import TrioTCPStream
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID
from libp2p.protocol_muxer.multiselect_client import MultiselectClient
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_ID
from libp2p.security.noise.transport import Transport as Noise
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX_ID

from tests.attacks.harness import Siege

DATA, WINDOW, PING, GO_AWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8
MULTISTREAM = b"\x13/multistream/1.0.0\n"
SHAKE_S = 15.0

_subnets = count(1)


def new_subnet() -> int:
    """A /24 that no attack has used yet: what one attack is blamed for is not another's."""
    return next(_subnets)


def source(subnet: int, host: int = 1) -> str:
    """A loopback address outside 127.0.0.0/24."""
    return f"127.{10 + subnet // 256}.{subnet % 256}.{host}"


def line(text: str | bytes) -> bytes:
    """A multistream-select message: its length as a varint, the text, a newline."""
    raw = (text.encode() if isinstance(text, str) else text) + b"\n"
    assert len(raw) < 128
    return bytes([len(raw)]) + raw


def frame(kind: int, flags: int, stream: int, length: int, payload: bytes = b"") -> bytes:
    """A Yamux frame; `length` may lie about the payload."""
    return struct.pack("!BBHII", 0, kind, flags, stream, length) + payload


async def knock(siege: Siege, host: str) -> trio.SocketStream:
    """Open a TCP connection to the victim from a loopback address. OSError if refused."""
    sock = trio.socket.socket()
    try:
        await sock.bind((host, 0))
        await sock.connect(("127.0.0.1", siege.port))
    except BaseException:
        sock.close()
        raise
    return trio.SocketStream(sock)


async def is_shut(stream: trio.SocketStream, wait_s: float = 2.0) -> bool:
    """Whether the victim closes the connection within some seconds; what it says is dropped."""
    with trio.move_on_after(wait_s), suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        while await stream.receive_some(4096):
            pass
        return True
    return False


async def send(stream: trio.SocketStream, payload: bytes) -> bool:
    """Send; False if the victim has closed the connection."""
    try:
        await stream.send_all(payload)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return False
    return True


class Session:
    """A connection with Noise and Yamux agreed on, where every frame is ours to write.

    It uses py-libp2p's own Noise, so that it tests ours. What arrives is read in the background
    and counted, unless `is_deaf`.
    """

    def __init__(self, secured: Any, tcp: trio.SocketStream) -> None:
        self._secured = secured
        self._tcp = tcp
        self._numbers = count(1, 2)
        self.received = 0
        self.is_over = False
        self.is_deaf = False

    async def listen(self) -> None:
        """Read until the end; `is_over` tells it."""
        with suppress(Exception):
            while not self.is_deaf:
                chunk = await self._secured.read(None)
                if not chunk:
                    break
                self.received += len(chunk)
        self.is_over = not self.is_deaf

    async def read(self) -> bytes:
        """Read one Noise message, for a session that nobody listens to."""
        return bytes(await self._secured.read(None))

    async def write(self, payload: bytes) -> bool:
        """Send bytes of Yamux; False if the connection is over."""
        try:
            await self._secured.write(payload)
        except Exception:  # any of many kinds
            self.is_over = True
            return False
        return True

    def number(self) -> int:
        """The next stream's identifier."""
        return next(self._numbers)

    async def open(self, protocol: str) -> int:
        """Open a stream and ask for a protocol without waiting for the answer."""
        number = self.number()
        hello = MULTISTREAM + line(protocol)
        await self.write(frame(WINDOW, SYN, number, 0) + frame(DATA, 0, number, len(hello), hello))
        return number

    async def send(self, number: int, payload: bytes) -> bool:
        """Send bytes on a stream."""
        return await self.write(frame(DATA, 0, number, len(payload), payload))

    async def write_raw(self, payload: bytes) -> bool:
        """Send bytes under Noise, where its messages are expected."""
        return await send(self._tcp, payload)

    async def close(self) -> None:
        with suppress(Exception):
            await self._tcp.aclose()


async def secure(
    siege: Siege, host: str, seed: bytes | None = None, muxer: bytes | None = None
) -> Session:
    """Do both handshakes. Raises anything, within SHAKE_S, if the victim does not want to.

    seed: of the attacker's identity, None for a new one. muxer: what to send in place of the
    second handshake.
    """
    tcp = await knock(siege, host)
    try:
        with trio.fail_after(SHAKE_S):
            raw = RawConnection(TrioTCPStream(tcp), True)
            keys = create_new_key_pair(seed)
            noise = Noise(keys, noise_privkey=create_noise_key_pair().private_key)
            await _select(raw, NOISE_ID)
            secured = await noise.secure_outbound(raw, peer_of(siege))
            if muxer is None:
                await _select(secured, YAMUX_ID)
            elif muxer:
                await secured.write(muxer)
    except BaseException:
        await tcp.aclose()
        raise
    return Session(secured, tcp)


async def _select(conn: Any, protocol: str) -> None:
    await MultiselectClient().select_one_of([TProtocol(protocol)], MultiselectCommunicator(conn))


def peer_of(siege: Siege) -> ID:
    """The victim's peer id."""
    return ID.from_string(siege.address.rpartition("/")[2])


@asynccontextmanager
async def sessions(
    siege: Siege, hosts: list[str], *, at_once: int = 8, deaf: bool = False
) -> AsyncIterator[list[Session]]:
    """Open a session from each address, read them in the background, close them at the end."""
    opened: list[Session] = []
    turn = trio.CapacityLimiter(at_once)
    async with trio.open_nursery() as nursery, trio.open_nursery() as dialling:

        async def dial(host: str) -> None:
            async with turn:
                try:
                    session = await secure(siege, host)
                except Exception:  # a refused one is what the test counts
                    return
                opened.append(session)
                if not deaf:
                    nursery.start_soon(session.listen)

        for host in hosts:
            dialling.start_soon(dial, host)
        await _until_done(dialling)
        try:
            yield opened
        finally:
            with trio.CancelScope(shield=True):
                for session in opened:
                    await session.close()
            nursery.cancel_scope.cancel()


async def _until_done(nursery: trio.Nursery) -> None:
    while nursery.child_tasks:
        await trio.sleep(0.01)


@asynccontextmanager
async def session(siege: Siege, *, deaf: bool = False) -> AsyncIterator[Session]:
    """One session from an address of its own. AssertionError if it is refused."""
    async with sessions(siege, [source(new_subnet())], deaf=deaf) as opened:
        assert opened, "the victim refuses an unknown peer"
        yield opened[0]


class Crowd:
    """Raw connections held open together."""

    def __init__(self) -> None:
        self.streams: list[trio.SocketStream] = []
        self.refused = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        with trio.CancelScope(shield=True):
            for stream in self.streams:
                await stream.aclose()

    async def add(
        self,
        siege: Siege,
        hosts: list[str],
        greet: Callable[[trio.SocketStream], Awaitable[None]] | None = None,
        at_once: int = 32,
    ) -> None:
        """Connect from each address, then do `greet`; refusals are counted."""
        turn = trio.CapacityLimiter(at_once)

        async def join(host: str) -> None:
            async with turn:
                try:
                    stream = await knock(siege, host)
                    self.streams.append(stream)
                    if greet is not None:
                        with trio.move_on_after(SHAKE_S):
                            await greet(stream)
                except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                    self.refused += 1

        async with trio.open_nursery() as nursery:
            for host in hosts:
                nursery.start_soon(join, host)
