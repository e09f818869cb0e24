"""Noise and multistream-select against a peer that says anything, with good keys or none.

A handshake ends in a channel or NoiseFailure; a negotiation in one of our protocols or a failure.
"""

from contextlib import suppress
from typing import Any

import trio
import trio.testing
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.peer.id import ID
from libp2p.security.noise.exceptions import NoiseFailure
from libp2p.security.noise.pb.noise_pb2 import NoiseHandshakePayload
from libp2p.stream_muxer.exceptions import MuxedConnUnavailable, MuxedStreamError
from noise.connection import Keypair, NoiseConnection

from p2p_modelex.net.libp2p.muxed_stream import DATA, FIN, HEADER, SYN, WINDOW
from p2p_modelex.net.libp2p.muxer import Yamux
from p2p_modelex.net.libp2p.negotiation import (
    NegotiationFailed,
    accept_negotiated,
    open_negotiated,
)
from p2p_modelex.net.libp2p.noise import NoiseTransport
from tests.fuzz.choices import Choices

_NAME = b"Noise_XX_25519_ChaChaPoly_SHA256"
_PREFIX = b"noise-libp2p-static-key:"
_OURS, _THEIRS = create_new_key_pair(bytes([1]) * 32), create_new_key_pair(bytes([2]) * 32)
_STATIC = create_noise_key_pair()
_SPOKEN = {"/a/1", "/b/1"}
_GREETING = b"\x13/multistream/1.0.0\n"
_LINES = (
    *(_GREETING, b"\x05/a/1\n", b"\x03na\n", b"\x07/c/1\xff\xfe\n", b"\x03ls\n"),
    *(b"\x00", b"\x01\n", b"\xff\x7f", b"\x80\x80\x80\x80\x04"),
)


class Tube:
    """The raw connection: what the peer sends is made up as it is read."""

    is_initiator = False
    stream: Any = None

    def __init__(self, peer: "Peer") -> None:
        self._peer = peer
        self._arrived = bytearray()

    async def read(self, size: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        if not self._arrived:
            self._arrived += self._peer.speak()
        found = bytes(self._arrived[:size])
        del self._arrived[:size]
        return found

    async def write(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self._peer.hear(data)

    async def close(self) -> None:
        await trio.lowlevel.checkpoint()


class Peer:
    """The other end of a Noise handshake: honest in its cryptography as long as it chooses."""

    def __init__(self, choices: Choices, *, initiator: bool) -> None:
        self._choices = choices
        self._noise = NoiseConnection.from_name(_NAME)
        self._noise.set_keypair_from_private_bytes(Keypair.STATIC, _STATIC.private_key.to_bytes())
        if initiator:
            self._noise.set_as_initiator()
        else:
            self._noise.set_as_responder()
        self._noise.start_handshake()

    def hear(self, data: bytes) -> None:
        with suppress(Exception):
            self._noise.read_message(data[2:])

    def speak(self) -> bytes:
        if not self._choices:
            return b""
        if self._choices.chance(48):
            return self._choices.some()
        try:
            message = bytes(self._noise.write_message(self._payload()))
        except Exception:  # its turn is over: it says anything
            return self._choices.some()
        if self._choices.chance(16) and message:
            at = self._choices.below(len(message))
            message = message[:at] + bytes([message[at] ^ 1]) + message[at + 1 :]
        return len(message).to_bytes(2, "big") + message

    def _payload(self) -> bytes:
        choices = self._choices
        if choices.chance(64):
            return choices.some()
        keys = choices.pick((_THEIRS, _OURS))
        static = _STATIC.public_key.to_bytes()
        signed = choices.pick((_PREFIX + static, static, b""))
        told = NoiseHandshakePayload(
            identity_key=choices.pick((keys.public_key.serialize(), choices.some(), b"")),
            identity_sig=choices.pick((_THEIRS.private_key.sign(signed), choices.some())),
        )
        return told.SerializeToString()


def run(content: bytes) -> None:
    choices = Choices(content)
    play = choices.pick((_secure, _secure, _negotiate))
    trio.run(play, choices, clock=trio.testing.MockClock(autojump_threshold=0))


async def _secure(choices: Choices) -> None:
    transport = NoiseTransport(_OURS, create_noise_key_pair().private_key)
    inbound = choices.chance(128)
    tube = Tube(Peer(choices, initiator=inbound))
    with suppress(NoiseFailure):
        if inbound:
            await transport.secure_inbound(tube)
        else:
            await transport.secure_outbound(tube, ID.from_pubkey(_THEIRS.public_key))


class Script:
    """A secured connection whose peer opens or answers a stream and negotiates as it likes."""

    def __init__(self, choices: Choices, *, initiator: bool) -> None:
        self.is_initiator = initiator
        stream_id = 1
        first = [] if initiator else [HEADER.pack(0, WINDOW, SYN, stream_id, 0)]
        said = b"".join(
            choices.some() if choices.chance(64) else choices.pick(_LINES)
            for _ in range(choices.below(8))
        )
        data = HEADER.pack(0, DATA, 0, stream_id, len(said)) + said
        self._frames = [*first, data, HEADER.pack(0, WINDOW, FIN, stream_id, 0)]

    async def read(self, _size: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        if self._frames:
            return self._frames.pop(0)
        await trio.sleep(1)
        return b""

    async def write(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()

    async def close(self) -> None:
        await trio.lowlevel.checkpoint()


async def _negotiate(choices: Choices) -> None:
    initiator = choices.chance(128)
    connection = Yamux(Script(choices, initiator=initiator), b"peer")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.start)
        with suppress(NegotiationFailed, MuxedStreamError, MuxedConnUnavailable):
            if initiator:
                await connection.event_started.wait()
                await open_negotiated(connection, "/a/1")
            else:
                stream = await connection.accept_stream()
                assert await accept_negotiated(stream, _SPOKEN) in _SPOKEN
        await connection.close()
