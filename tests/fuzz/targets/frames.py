"""Frames out of bytes in any cut, and what a worker process with broken native code may send."""

from contextlib import suppress

from p2p_modelex.engine import frames as worker
from p2p_modelex.errors import EngineCrashed, RemoteProtocolError
from p2p_modelex.net.frames import FrameReader, encode_frame
from tests.fuzz import trees
from tests.fuzz.choices import Choices

_LIMIT = 300


def run(content: bytes) -> None:
    choices = Choices(content)
    if choices.chance(96):
        _run_worker(choices)
    else:
        _run_stream(choices)


def _run_stream(choices: Choices) -> None:
    """What whole frames were sent comes out whole, however it was cut; garbage ends it."""
    sent = [choices.some() for _ in range(choices.below(4))]
    stream = b"".join(encode_frame(one, limit=_LIMIT) for one in sent) + choices.some()
    reader, received = FrameReader(limit=_LIMIT), []
    with suppress(RemoteProtocolError):
        while stream:
            size = 1 + choices.byte()
            reader.feed(stream[:size])
            stream = stream[size:]
            while (frame := reader.next_frame()) is not None:
                assert len(frame) <= _LIMIT
                received.append(frame)
            assert len(reader._bytes) <= _LIMIT + 4 + size
        reader.validate_end()
    assert received[: len(sent)] == sent


def _run_worker(choices: Choices) -> None:
    kind = choices.pick((worker.Event, worker.Command))
    decode = worker.decode_event if kind is worker.Event else worker.decode_command
    body = choices.rest() if choices.chance(128) else trees.pack(trees.draw(kind, choices))
    with suppress(EngineCrashed):
        found = decode(body)
        if isinstance(found, worker.Failed):
            worker.unpack_error(found)
    with suppress(EngineCrashed):
        assert worker.parse_length(body[:4]) <= worker.FRAME_BYTES
