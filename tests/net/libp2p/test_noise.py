"""Our Noise: it speaks with py-libp2p's own both ways, and with nobody who does not prove its key.

js-libp2p is the other reference: tests/interop/js.
"""

import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.secp256k1 import create_new_key_pair as create_secp256k1_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.io.trio import TrioTCPStream
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID
from libp2p.security.noise.exceptions import (
    InvalidSignature,
    NoiseFailure,
    PeerIDMismatchesPubkey,
)
from libp2p.security.noise.pb.noise_pb2 import NoiseHandshakePayload
from libp2p.security.noise.transport import Transport as Libp2pNoise
from noise.connection import Keypair, NoiseConnection

from p2p_modelex.net.libp2p.channel import (
    PLAINTEXT_MAX,
    BrokenCipher,
    CipherState,
    MessageReader,
    SecureChannel,
)
from p2p_modelex.net.libp2p.noise import HANDSHAKE_MESSAGE_MAX, NoiseTransport

NAME = b"Noise_XX_25519_ChaChaPoly_SHA256"
SIGNED_PREFIX = b"noise-libp2p-static-key:"
PATIENCE_S = 5


def make_ours() -> NoiseTransport:
    return NoiseTransport(create_new_key_pair(), create_noise_key_pair().private_key)


def make_theirs() -> Any:
    return Libp2pNoise(create_new_key_pair(), create_noise_key_pair().private_key)


def peer_of(transport: Any) -> ID:
    peer = getattr(transport, "local_peer", None) or transport._local_peer
    assert isinstance(peer, ID)
    return peer


@asynccontextmanager
async def open_wires() -> AsyncIterator[tuple[Any, Any]]:
    """Both ends of a TCP connection, as libp2p's transport gives them."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    client = await trio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1])
    server = await listener.accept()
    async with listener, client, server:
        yield (
            RawConnection(TrioTCPStream(client), True),
            RawConnection(TrioTCPStream(server), False),
        )


async def shake(one: Any, other: Any, wires: Any, expected: ID | None = None) -> list[Any]:
    """Secure both ends; returns the dialler's and the listener's channel."""
    channels: list[Any] = [None, None]

    async def answer() -> None:
        channels[1] = await other.secure_inbound(wires[1])

    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer)
            channels[0] = await one.secure_outbound(wires[0], expected or peer_of(other))
    return channels


@pytest.mark.parametrize(
    ("dialler", "listener"),
    [(make_ours, make_ours), (make_ours, make_theirs), (make_theirs, make_ours)],
)
async def test_it_speaks_with_itself_and_with_py_libp2p(
    dialler: Callable[[], Any], listener: Callable[[], Any]
) -> None:
    one, other = dialler(), listener()
    async with open_wires() as wires:
        here, there = await shake(one, other, wires)
        assert here.get_remote_peer() == peer_of(other)
        assert there.get_remote_peer() == peer_of(one)
        assert (here.is_initiator, there.is_initiator) == (True, False)
        large = os.urandom(3 * PLAINTEXT_MAX + 5)
        for writer, reader in ((here, there), (there, here)):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(writer.write, b"hello")
                nursery.start_soon(writer.write, large)
                assert await reader.read(5) in (b"hello", large[:5])
                assert len(await reader.read(len(large))) == len(large)


async def test_it_keeps_the_identity_behind_the_channel() -> None:
    one, other = make_ours(), make_ours()
    async with open_wires() as wires:
        here, there = await shake(one, other, wires)
        assert ID.from_pubkey(here.get_remote_public_key()) == peer_of(other)
        assert here.get_local_peer() == there.get_remote_peer() == peer_of(one)
        assert here.get_local_private_key().get_public_key() == there.get_remote_public_key()
        assert here.get_remote_address()[0] == "127.0.0.1"
        assert here.get_transport_addresses()
        assert here.get_connection_type() == there.get_connection_type()


async def test_another_peer_than_the_one_dialled_is_refused() -> None:
    async with open_wires() as wires:
        with pytest.RaisesGroup(PeerIDMismatchesPubkey):
            await shake(make_ours(), make_ours(), wires, expected=peer_of(make_ours()))


class Impostor:
    """The listening end of a handshake whose payload is made to measure."""

    def __init__(self, payload: Callable[[bytes], bytes]) -> None:
        self._payload = payload
        self.static = os.urandom(32)

    async def answer(self, wire: RawConnection) -> None:
        state = NoiseConnection.from_name(NAME)
        state.set_keypair_from_private_bytes(Keypair.STATIC, self.static)
        state.set_as_responder()
        state.start_handshake()
        public = state.noise_protocol.handshake_state.s.public_bytes
        state.read_message(await read_message(wire))
        await send_message(wire, bytes(state.write_message(self._payload(public))))


async def read_message(wire: RawConnection) -> bytes:
    size = int.from_bytes(await wire.read(2), "big")
    return await wire.read(size)


async def send_message(wire: RawConnection, message: bytes) -> None:
    await wire.write(len(message).to_bytes(2, "big") + message)


def sign_another_key(_public: bytes) -> bytes:
    keys = create_new_key_pair()
    return NoiseHandshakePayload(
        identity_key=keys.public_key.serialize(),
        identity_sig=keys.private_key.sign(SIGNED_PREFIX + os.urandom(32)),
    ).SerializeToString()


def sign_without_the_prefix(public: bytes) -> bytes:
    keys = create_new_key_pair()
    return NoiseHandshakePayload(
        identity_key=keys.public_key.serialize(), identity_sig=keys.private_key.sign(public)
    ).SerializeToString()


def sign_with_another_identity(public: bytes) -> bytes:
    return NoiseHandshakePayload(
        identity_key=create_new_key_pair().public_key.serialize(),
        identity_sig=create_new_key_pair().private_key.sign(SIGNED_PREFIX + public),
    ).SerializeToString()


def leave_the_signature_out(_public: bytes) -> bytes:
    key = create_new_key_pair().public_key.serialize()
    return NoiseHandshakePayload(identity_key=key).SerializeToString()


def use_another_kind_of_key(public: bytes) -> bytes:
    keys = create_secp256k1_key_pair()
    return NoiseHandshakePayload(
        identity_key=keys.public_key.serialize(),
        identity_sig=keys.private_key.sign(SIGNED_PREFIX + public),
    ).SerializeToString()


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (sign_another_key, InvalidSignature),
        (sign_without_the_prefix, InvalidSignature),
        (sign_with_another_identity, InvalidSignature),
        (leave_the_signature_out, InvalidSignature),
        (use_another_kind_of_key, NoiseFailure),
        (lambda _public: b"", NoiseFailure),
        (lambda _public: b"\xff" * 40, NoiseFailure),
        (lambda _public: bytes(HANDSHAKE_MESSAGE_MAX), NoiseFailure),
    ],
)
async def test_an_identity_that_is_not_proven_is_refused(
    payload: Callable[[bytes], bytes], error: type[NoiseFailure]
) -> None:
    async with open_wires() as wires, trio.open_nursery() as nursery:
        nursery.start_soon(Impostor(payload).answer, wires[1])
        with pytest.raises(error), trio.fail_after(PATIENCE_S):
            await make_ours().secure_outbound(wires[0], peer_of(make_ours()))


@pytest.mark.parametrize(
    "said",
    [
        b"\x00\x00",
        b"\x00\x10" + bytes(16),
        b"\x00\x20" + bytes(32),  # a key of low order
        b"\xff\xff" + bytes(100),
        b"\x00\x20" + bytes(10),
        b"\x00",
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
async def test_garbage_ends_a_handshake_on_either_side(said: bytes) -> None:
    for inbound in (True, False):
        async with open_wires() as wires:
            await wires[0].write(said)
            await wires[0].stream.stream.send_eof()
            ours = make_ours()
            with pytest.raises(NoiseFailure), trio.fail_after(PATIENCE_S):
                if inbound:
                    await ours.secure_inbound(wires[1])
                else:
                    await ours.secure_outbound(wires[1], peer_of(ours))


async def test_a_replayed_last_message_does_not_finish_another_handshake() -> None:
    """The dialler's proof is bound to this handshake by the listener's fresh key."""
    recorded: list[bytes] = []
    ours, listener = make_ours(), make_ours()
    async with open_wires() as wires:
        write = wires[0].write

        async def record(data: bytes) -> None:
            recorded.append(data)
            await write(data)

        wires[0].write = record
        await shake(ours, listener, wires)
    async with open_wires() as wires:
        await wires[0].write(b"".join(recorded))
        with pytest.raises(NoiseFailure), trio.fail_after(PATIENCE_S):
            await listener.secure_inbound(wires[1])


def make_ciphers() -> tuple[CipherState, CipherState]:
    key = os.urandom(32)
    return CipherState(key), CipherState(key)


@pytest.mark.parametrize("size", [0, 1, PLAINTEXT_MAX, PLAINTEXT_MAX + 1, 200_000])
def test_messages_come_out_as_they_went_in(size: int) -> None:
    sending, receiving = make_ciphers()
    plaintext = os.urandom(size)
    sealed = b"".join(sending.seal([plaintext]))
    reader = MessageReader(receiving)
    assert b"".join(reader.feed(sealed[i : i + 1000]) for i in range(0, len(sealed), 1000)) == (
        plaintext
    )


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=8), st.data())
def test_however_the_bytes_arrive(plaintexts: list[bytes], data: st.DataObject) -> None:
    sending, receiving = make_ciphers()
    wire = b"".join(piece for plaintext in plaintexts for piece in sending.seal([plaintext]))
    reader, got = MessageReader(receiving), b""
    while wire:
        size = data.draw(st.integers(1, len(wire)))
        got += reader.feed(wire[:size])
        wire = wire[size:]
    assert got == b"".join(plaintexts)


def change_a_bit(first: bytes, second: bytes) -> bytes:
    return first[:-1] + bytes([first[-1] ^ 1]) + second


@pytest.mark.parametrize(
    "tamper",
    [
        change_a_bit,
        lambda first, second: second + first,
        lambda first, second: first + first,
        lambda first, second: second,
        lambda first, second: b"\x00\x00" + first,
        lambda first, second: b"\x00\x0f" + bytes(15) + first,
    ],
    ids=["changed", "swapped", "replayed", "dropped", "empty", "shorter-than-a-tag"],
)
def test_what_was_tampered_with_is_not_decrypted(tamper: Callable[[bytes, bytes], bytes]) -> None:
    sending, receiving = make_ciphers()
    with pytest.raises(BrokenCipher):
        first, second = (b"".join(sending.seal([text])) for text in (b"first", b"second"))
        MessageReader(receiving).feed(tamper(first, second))


@given(st.lists(st.binary(min_size=1, max_size=100), max_size=5))
def test_no_bytes_are_taken_for_a_message(chunks: list[bytes]) -> None:
    reader = MessageReader(CipherState(bytes(32)))
    try:
        assert b"".join(map(reader.feed, chunks)) == b""
    except BrokenCipher:
        return


async def make_channels(wires: Any) -> tuple[SecureChannel, SecureChannel]:
    here, there = await shake(make_ours(), make_ours(), wires)
    return here, there


async def test_a_cancelled_write_tears_nothing() -> None:
    async with open_wires() as wires:
        here, there = await make_channels(wires)
        wires[0].stream.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        first, second = os.urandom(8_000_000), os.urandom(1000)
        with trio.move_on_after(0.05) as scope:
            await here.write(first)
        assert scope.cancelled_caught
        async with trio.open_nursery() as nursery:
            nursery.start_soon(here.write, second)
            with trio.fail_after(PATIENCE_S):
                assert await there.read(len(first)) == first
                assert await there.read(len(second)) == second


async def test_a_cancelled_read_loses_nothing() -> None:
    async with open_wires() as wires:
        here, there = await make_channels(wires)
        with trio.move_on_after(0.02):
            await there.read(10)
        await here.write(b"01234")
        with trio.move_on_after(0.1):
            await there.read(10)
        await here.write(b"56789")
        assert await there.read(10) == b"0123456789"


@pytest.mark.parametrize("use", [lambda c: c.read(), lambda c: c.write(b"x"), lambda c: c.read(4)])
async def test_a_closed_channel_says_so(use: Callable[[SecureChannel], Awaitable[Any]]) -> None:
    async with open_wires() as wires:
        here, there = await make_channels(wires)
        await here.close()
        with pytest.raises(ConnectionClosedError):
            await use(here)
        with pytest.raises(ConnectionClosedError), trio.fail_after(PATIENCE_S):
            while True:
                await use(there)
