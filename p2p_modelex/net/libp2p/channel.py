"""An encrypted connection: Noise transport messages on a TCP socket.

Specification: noiseprotocol.org/noise.html sections 5.1 and 11.3, and the framing of
github.com/libp2p/specs/blob/master/noise/README.md: a 2-byte big-endian length, then up to 65,535
bytes of which the last 16 are the tag.

It does in one place what py-libp2p spreads over six layers: a read takes what the socket has and
decrypts every whole message in it; a write encrypts once and tries the socket at once, without a
task switch. What was encrypted and not yet taken by the socket is kept in order, so that a
cancelled writer tears nothing and no nonce is used twice.
"""

import os
import struct
from collections.abc import Iterable, Sequence
from typing import Any

import trio
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from libp2p.io.exceptions import ConnectionClosedError

from p2p_modelex.limits import KIB

_LENGTH_BYTES = 2
_TAG_BYTES = 16
PLAINTEXT_MAX = 65_535 - _TAG_BYTES
# From here on, copying costs more than a message's own header, tag and set-up.
_OWN_MESSAGE_BYTES = 16 * KIB
# What one system call takes: IOV_MAX of Linux, never reached by what a muxer queues.
_PIECES_MAX = 1024
# Two whole messages of the largest kind: bulk costs a system call for each 128 KiB.
_READ_BYTES = 128 * KIB
# 96-bit nonce: 32 zero bits and the 64-bit counter, little-endian (Noise, section 12.3).
_NONCE = struct.Struct("<4xQ")


class BrokenCipher(ConnectionClosedError):
    """A message that the peer's key does not explain: cut, changed, replayed or out of order."""


class CipherState:
    """One direction's key and its message counter."""

    def __init__(self, key: bytes) -> None:
        self._aead = ChaCha20Poly1305(key)
        self._counter = 0

    def seal(self, parts: Iterable[bytes | memoryview]) -> list[bytes]:
        """Return whole messages that say `parts` one after the other, as pieces to write.

        Small parts share a message; a large one has its own, which spares copying it twice.
        """
        sealed: list[bytes] = []
        small: list[bytes | memoryview] = []
        for part in parts:
            if len(part) < _OWN_MESSAGE_BYTES:
                small.append(part)
                continue
            if small:
                self._seal(b"".join(small), sealed)
                small.clear()
            self._seal(part, sealed)
        if small:
            self._seal(b"".join(small), sealed)
        return sealed

    def _seal(self, plaintext: bytes | memoryview, sealed: list[bytes]) -> None:
        if len(plaintext) > PLAINTEXT_MAX:
            with memoryview(plaintext) as view:
                for start in range(0, len(view), PLAINTEXT_MAX):
                    self._seal(view[start : start + PLAINTEXT_MAX], sealed)
            return
        sealed.append((len(plaintext) + _TAG_BYTES).to_bytes(_LENGTH_BYTES, "big"))
        sealed.append(self._aead.encrypt(_NONCE.pack(self._counter), plaintext, None))
        self._counter += 1

    def open(self, message: bytes | memoryview) -> bytes:
        """Return the plaintext of the next message. Raises BrokenCipher."""
        try:
            plaintext = self._aead.decrypt(_NONCE.pack(self._counter), message, None)
        except InvalidTag as error:
            raise BrokenCipher("a Noise message does not verify", transport="tcp") from error
        self._counter += 1
        return plaintext


class MessageReader:
    """Decrypts messages however their bytes arrive; holds at most one message that is not whole."""

    def __init__(self, cipher: CipherState) -> None:
        self._cipher = cipher
        self._partial = bytearray()

    def feed(self, chunk: bytes) -> bytes:
        """Return what the messages say that are now whole; b"" if none is. Raises BrokenCipher."""
        if not self._partial:
            opened, end = self._open_all(chunk)
            self._partial += memoryview(chunk)[end:]
            return opened
        self._partial += chunk
        opened, end = self._open_all(self._partial)
        del self._partial[:end]
        return opened

    def _open_all(self, wire: bytes | bytearray) -> tuple[bytes, int]:
        """Return the plaintext of the whole messages in `wire`, and where they end."""
        opened, start = [], 0
        with memoryview(wire) as view:
            while (body := start + _LENGTH_BYTES) <= len(wire):
                end = body + int.from_bytes(wire[start:body], "big")
                if end > len(wire):
                    break
                opened.append(self._cipher.open(view[body:end]))
                start = end
        return (opened[0] if len(opened) == 1 else b"".join(opened)), start


class SecureChannel:
    """The connection after its handshake, in the shape of libp2p's ISecureConn.

    `raw` is the TCP connection underneath, whose handshake has read nothing beyond itself.
    """

    def __init__(
        self,
        raw: Any,
        *,
        identity: Any,
        local_peer: Any,
        remote_peer: Any,
        remote_key: Any,
        is_initiator: bool,
        sending: CipherState,
        receiving: CipherState,
    ) -> None:
        self.is_initiator = is_initiator
        self._raw = raw
        self._socket: trio.socket.SocketType = raw.stream.stream.socket
        self._identity = identity
        self._local_peer = local_peer
        self._remote_peer = remote_peer
        self._remote_key = remote_key
        self._sending = sending
        self._reader = MessageReader(receiving)
        self._plain = bytearray()
        self._unsent = bytearray()
        self._flushing = trio.Lock()
        # Whether the last read filled its buffer: then the next one need not wait for the socket.
        self._more = False

    def get_local_peer(self) -> Any:
        return self._local_peer

    def get_local_private_key(self) -> Any:
        return self._identity

    def get_remote_peer(self) -> Any:
        return self._remote_peer

    def get_remote_public_key(self) -> Any:
        return self._remote_key

    def get_remote_address(self) -> Any:
        return self._raw.get_remote_address()

    def get_transport_addresses(self) -> Any:
        return self._raw.get_transport_addresses()

    def get_connection_type(self) -> Any:
        return self._raw.get_connection_type()

    async def read(self, n: int | None = None) -> bytes:
        """Return exactly `n` bytes, or with None what is there, at least one.

        Raises ConnectionClosedError when the peer or we have closed the connection, BrokenCipher.
        """
        while len(self._plain) < (1 if n is None else n):
            opened = await self._receive()
            if n is None and not self._plain:
                return opened
            self._plain += opened
        size = len(self._plain) if n is None else n
        chunk = bytes(self._plain[:size])
        del self._plain[:size]
        return chunk

    async def _receive(self) -> bytes:
        while True:
            try:
                if self._more:
                    await trio.lowlevel.checkpoint()
                else:
                    await trio.lowlevel.wait_readable(self._descriptor())
                chunk = os.read(self._descriptor(), _READ_BYTES)
            except BlockingIOError:
                self._more = False
                continue
            except (OSError, trio.ClosedResourceError) as error:
                raise ConnectionClosedError(f"reading: {error}", transport="tcp") from error
            if not chunk:
                raise ConnectionClosedError("the peer closed the connection", transport="tcp")
            self._more = len(chunk) == _READ_BYTES
            if opened := self._reader.feed(chunk):
                return opened

    async def write(self, data: bytes) -> None:
        """Send all of `data`; if cancelled, what is left goes out before anything else."""
        await trio.lowlevel.checkpoint()
        if not self.write_nowait((data,)):
            await self.flush()

    def write_nowait(self, parts: Iterable[bytes | memoryview]) -> bool:
        """Encrypt `parts` and send what the socket takes; False if some is left for `flush`.

        Raises ConnectionClosedError.
        """
        sealed = self._sending.seal(parts)
        sent = 0 if self._unsent else self._send(sealed)
        if sent == sum(map(len, sealed)):
            return True
        self._unsent += memoryview(b"".join(sealed))[sent:]
        return False

    async def flush(self) -> None:
        """Send what earlier writes have left. Raises ConnectionClosedError."""
        async with self._flushing:
            while self._unsent:
                try:
                    await trio.lowlevel.wait_writable(self._descriptor())
                except (OSError, trio.ClosedResourceError) as error:
                    raise ConnectionClosedError(f"writing: {error}", transport="tcp") from error
                del self._unsent[: self._send((self._unsent,))]

    def _send(self, pieces: Sequence[bytes | bytearray]) -> int:
        try:
            return os.writev(self._descriptor(), pieces[:_PIECES_MAX])
        except BlockingIOError:
            return 0
        except OSError as error:
            raise ConnectionClosedError(f"writing: {error}", transport="tcp") from error

    def _descriptor(self) -> int:
        # Asked for each time: a number kept after closing could belong to another connection.
        descriptor = self._socket.fileno()
        if descriptor < 0:
            raise ConnectionClosedError("closed here", transport="tcp")
        return descriptor

    async def close(self) -> None:
        await self._raw.close()
