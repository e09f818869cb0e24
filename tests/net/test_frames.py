"""Frames: any cut of the bytes gives the same frames, and bad bytes give NET-1 or NET-2."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_modelex.errors import LocalProtocolError, RemoteProtocolError
from p2p_modelex.net.frames import FrameReader, encode_frame


def read_all(reader: FrameReader) -> list[bytes]:
    frames = []
    while (frame := reader.next_frame()) is not None:
        frames.append(frame)
    return frames


@given(st.lists(st.binary(max_size=40), max_size=8), st.integers(1, 50))
def test_frames_survive_any_cut(payloads: list[bytes], step: int) -> None:
    sent = b"".join(encode_frame(payload, limit=40) for payload in payloads)
    reader = FrameReader(limit=40)
    received: list[bytes] = []
    for start in range(0, len(sent), step):
        reader.feed(sent[start : start + step])
        received += read_all(reader)
    reader.validate_end()
    assert received == payloads


@given(st.binary(max_size=200))
def test_any_bytes_are_frames_or_a_remote_error(received: bytes) -> None:
    reader = FrameReader(limit=20)
    reader.feed(received)
    rule, frames = "", list[bytes]()
    try:
        frames = read_all(reader)
        reader.validate_end()
    except RemoteProtocolError as error:
        rule = error.rule
    assert rule in ("", "NET-1", "NET-2")
    if not rule:
        assert b"".join(encode_frame(frame, limit=20) for frame in frames) == received


def test_net_1_and_net_2() -> None:
    reader = FrameReader(limit=3)
    reader.feed((4).to_bytes(4, "big"))
    with pytest.raises(RemoteProtocolError, match="NET-1"):
        reader.next_frame()
    reader = FrameReader(limit=3)
    reader.feed((3).to_bytes(4, "big") + b"ab")
    assert reader.next_frame() is None
    with pytest.raises(RemoteProtocolError, match="NET-2"):
        reader.validate_end()
    with pytest.raises(LocalProtocolError):
        encode_frame(b"four", limit=3)
