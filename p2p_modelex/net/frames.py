"""Frames on a stream of bytes: 4-byte big-endian length, then the payload (protocols/transport)."""

from p2p_modelex.errors import LocalProtocolError, RemoteProtocolError

LENGTH_BYTES = 4


def encode_frame(payload: bytes, *, limit: int) -> bytes:
    """Return the frame's bytes. Raises LocalProtocolError over `limit` bytes of payload."""
    if len(payload) > limit:
        raise LocalProtocolError(f"a frame of {len(payload)} bytes is over the limit of {limit}")
    return len(payload).to_bytes(LENGTH_BYTES, "big") + payload


class FrameReader:
    """Cuts bytes, however they arrive, into frames; holds at most one frame and one chunk."""

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._bytes = bytearray()

    def feed(self, chunk: bytes) -> None:
        self._bytes += chunk

    def next_frame(self) -> bytes | None:
        """Return the next whole frame, or None until more is fed. RemoteProtocolError NET-1."""
        if len(self._bytes) < LENGTH_BYTES:
            return None
        size = int.from_bytes(self._bytes[:LENGTH_BYTES], "big")
        if size > self._limit:
            raise RemoteProtocolError("NET-1", f"a frame of {size} bytes, limit {self._limit}")
        end = LENGTH_BYTES + size
        if len(self._bytes) < end:
            return None
        with memoryview(self._bytes) as view:
            frame = bytes(view[LENGTH_BYTES:end])
        del self._bytes[:end]
        return frame

    def validate_end(self) -> None:
        """Raise RemoteProtocolError NET-2 if the stream ended inside a frame."""
        if self._bytes:
            raise RemoteProtocolError(
                "NET-2", f"the stream ended {len(self._bytes)} bytes into a frame"
            )
