import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_modelex.engine import frames
from p2p_modelex.errors import BadInput, EngineCrashed, ModelexError, StoreError, Unsupported
from p2p_modelex.records.receipt import Finish
from tests.engine.asking import make_request


@given(st.binary())
def test_any_bytes_are_a_frame_or_a_crash(raw: bytes) -> None:
    for decode in (frames.decode_event, frames.decode_command):
        try:
            decoded: object = decode(raw)
        except EngineCrashed:
            continue
        assert isinstance(decoded, msgspec.Struct)


def test_round_trips() -> None:
    command = frames.Run(3, make_request("x"))
    assert frames.decode_command(frames.encode(command)[4:]) == command
    event = frames.Ended(3, Finish.CANCELLED, 5, 6, 4)
    raw = frames.encode(event)
    assert frames.parse_length(raw[:4]) == len(raw) - 4
    assert frames.decode_event(raw[4:]) == event


def test_sizes_are_bounded() -> None:
    with pytest.raises(EngineCrashed, match="over the cap"):
        frames.parse_length(b"\xff" * 4)
    with pytest.raises(BadInput):
        frames.encode(frames.Produced(1, "x" * frames.FRAME_BYTES, 1, ()))


def test_errors_keep_their_class_and_words() -> None:
    def cross(error: ModelexError) -> ModelexError:
        return frames.unpack_error(frames.pack_error(1, error))

    kept = cross(Unsupported("no", hint="do"))
    assert (type(kept), kept.message, kept.hint) == (Unsupported, "no", "do")
    assert cross(StoreError("odd")).message == "odd"
