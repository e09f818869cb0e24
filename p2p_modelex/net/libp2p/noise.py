"""The Noise XX handshake of libp2p, in place of py-libp2p's own: Ed25519 identities over TCP only.

Specification: github.com/libp2p/specs/blob/master/noise/README.md. The handshake's state machine is
that of the `noiseprotocol` package, as in py-libp2p; the messages around it, the identity in them
and everything after them are ours.
"""

from typing import Any

from libp2p.crypto.ed25519 import Ed25519PublicKey
from libp2p.io.trio import TrioTCPStream
from libp2p.peer.id import ID
from libp2p.security.noise.exceptions import (
    InvalidSignature,
    NoiseFailure,
    PeerIDMismatchesPubkey,
)
from libp2p.security.noise.pb.noise_pb2 import NoiseHandshakePayload
from nacl.exceptions import CryptoError
from nacl.signing import VerifyKey
from noise.connection import Keypair, NoiseConnection

from p2p_modelex.errors import BadInput
from p2p_modelex.ids import PeerId, peer_id_of, public_key_of
from p2p_modelex.net.libp2p.channel import CipherState, SecureChannel

_NAME = b"Noise_XX_25519_ChaChaPoly_SHA256"
_SIGNED_PREFIX = b"noise-libp2p-static-key:"
_LENGTH_BYTES = 2
# Two keys, two tags, a signature: 250 bytes. The rest is for extensions, which we ignore.
HANDSHAKE_MESSAGE_MAX = 4096
# The identity multihash before the serialized public key (libp2p's peer-id specification).
_IDENTITY_PREFIX = b"\x00\x24"


class NoiseTransport:
    """Secures TCP connections for one identity, in the shape of libp2p's ISecureTransport."""

    def __init__(self, keys: Any, static_key: Any) -> None:
        """`keys`: a libp2p Ed25519 key pair; `static_key`: a libp2p X25519 private key."""
        self._identity = keys.private_key
        self._local_peer = ID.from_pubkey(keys.public_key)
        self._static_key = static_key.to_bytes()
        static_public = static_key.get_public_key().to_bytes()
        self._payload = NoiseHandshakePayload(
            identity_key=keys.public_key.serialize(),
            identity_sig=keys.private_key.sign(_SIGNED_PREFIX + static_public),
        ).SerializeToString()

    async def secure_inbound(self, conn: Any) -> SecureChannel:
        """Answer a handshake. Raises NoiseFailure, whatever the peer sends."""
        state, handshake = self._start(is_initiator=False)
        _read_message(state, await _receive(conn))
        await _send(conn, _write_message(state, self._payload))
        payload = _read_message(state, await _receive(conn))
        return self._finish(conn, state, _identify(payload, _static_of(handshake)), False)

    async def secure_outbound(self, conn: Any, peer_id: Any) -> SecureChannel:
        """Begin a handshake with `peer_id`. Raises NoiseFailure; another peer is one."""
        state, handshake = self._start(is_initiator=True)
        await _send(conn, _write_message(state, b""))
        payload = _read_message(state, await _receive(conn))
        peer = _identify(payload, _static_of(handshake))
        if peer != peer_id.to_bytes():
            raise PeerIDMismatchesPubkey(f"the peer there is {ID(peer)}, not {peer_id}")
        await _send(conn, _write_message(state, self._payload))
        return self._finish(conn, state, peer, True)

    def _start(self, *, is_initiator: bool) -> tuple[Any, Any]:
        state = NoiseConnection.from_name(_NAME)
        state.set_keypair_from_private_bytes(Keypair.STATIC, self._static_key)
        if is_initiator:
            state.set_as_initiator()
        else:
            state.set_as_responder()
        state.start_handshake()
        return state, state.noise_protocol.handshake_state

    def _finish(self, conn: Any, state: Any, peer: PeerId, is_initiator: bool) -> SecureChannel:
        if not state.handshake_finished or not isinstance(conn.stream, TrioTCPStream):
            raise NoiseFailure("only TCP connections are secured, after a whole handshake")
        protocol = state.noise_protocol
        return SecureChannel(
            conn,
            identity=self._identity,
            local_peer=self._local_peer,
            remote_peer=ID(peer),
            remote_key=Ed25519PublicKey.from_bytes(public_key_of(peer)),
            is_initiator=is_initiator,
            sending=CipherState(protocol.cipher_state_encrypt.k),
            receiving=CipherState(protocol.cipher_state_decrypt.k),
        )


def _identify(payload: bytes, static_key: bytes) -> PeerId:
    """Return the peer that signed `static_key` (X25519, 32 bytes). Raises NoiseFailure."""
    try:
        told = NoiseHandshakePayload.FromString(payload)
    except Exception as error:  # protobuf's DecodeError, of several homes
        raise NoiseFailure("the handshake's payload is not protobuf") from error
    peer = PeerId(_IDENTITY_PREFIX + told.identity_key)
    try:
        key = public_key_of(peer)
        VerifyKey(key).verify(_SIGNED_PREFIX + static_key, told.identity_sig)
    except BadInput as error:
        raise NoiseFailure("the peer's identity is not an Ed25519 key") from error
    except (CryptoError, ValueError) as error:
        raise InvalidSignature("the peer's identity has not signed its Noise key") from error
    return peer_id_of(key)


def _read_message(state: Any, message: bytes) -> bytes:
    try:
        return bytes(state.read_message(message))
    except Exception as error:  # bad tags, short messages, keys of low order: one meaning
        raise NoiseFailure(f"a handshake message is no good: {error!r}") from error


def _write_message(state: Any, payload: bytes) -> bytes:
    try:
        return bytes(state.write_message(payload))
    except ValueError as error:
        raise NoiseFailure("the peer's key is of low order") from error


def _static_of(handshake: Any) -> bytes:
    if handshake.rs is None or not isinstance(handshake.rs.public_bytes, bytes):
        raise NoiseFailure("the peer has not shown its Noise key")
    return handshake.rs.public_bytes


async def _send(conn: Any, message: bytes) -> None:
    await conn.write(len(message).to_bytes(_LENGTH_BYTES, "big") + message)


async def _receive(conn: Any) -> bytes:
    length = int.from_bytes(await _read_exactly(conn, _LENGTH_BYTES), "big")
    if length > HANDSHAKE_MESSAGE_MAX:
        raise NoiseFailure(f"a handshake message of {length} bytes is too long")
    return await _read_exactly(conn, length)


async def _read_exactly(conn: Any, size: int) -> bytes:
    read = bytearray()
    while len(read) < size:
        chunk = await conn.read(size - len(read))
        if not chunk:
            raise NoiseFailure("the connection ended in the handshake")
        read += chunk
    return bytes(read)
