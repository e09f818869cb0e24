"""What parent and worker say to each other: 4-byte big-endian length, then msgpack.

The worker is our own code but it holds native code fed by strangers, so the parent bounds and
validates what comes out of it like anything else.
"""

import msgspec

from p2p_modelex import limits
from p2p_modelex.engine.abc import EngineInfo
from p2p_modelex.errors import (
    BadInput,
    EngineCrashed,
    EngineError,
    ModelexError,
    ModelRejected,
    PromptTooLong,
    Unsupported,
)
from p2p_modelex.records.job import Request
from p2p_modelex.records.logprobs import TokenLogprob
from p2p_modelex.records.receipt import Finish

LENGTH_BYTES = 4
# A request is at most an exchange frame; escapes and framing add little.
FRAME_BYTES = 2 * limits.EXCHANGE_FRAME_BYTES


class _Frame(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    pass


class Run(_Frame, frozen=True, tag=1):
    """Parent: run this request as job number `job`."""

    job: int
    request: Request


class Count(_Frame, frozen=True, tag=2):
    """Parent: how many tokens does the prompt have?"""

    job: int
    request: Request


class Stop(_Frame, frozen=True, tag=3):
    """Parent: stop the job. The worker answers Ended, unless it has already."""

    job: int


class Booted(_Frame, frozen=True, tag=16):
    """Worker: the model is loaded. Always the first frame, unless Failed with job 0 is."""

    info: EngineInfo


class Admitted(_Frame, frozen=True, tag=17):
    """Worker: the job began; its prompt has this many tokens."""

    job: int
    prompt_tokens: int


class Produced(_Frame, frozen=True, tag=18):
    """Worker: a piece of output."""

    job: int
    text: str
    tokens: int
    logprobs: tuple[TokenLogprob, ...]


class Alive(_Frame, frozen=True, tag=19):
    """Worker: the job goes on (reading a long prompt) but has nothing to show yet."""

    job: int


class Counted(_Frame, frozen=True, tag=20):
    """Worker: the answer to Count."""

    job: int
    prompt_tokens: int


class Ended(_Frame, frozen=True, tag=21):
    """Worker: the job is over and its slot free."""

    job: int
    finish: Finish
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int


class Failed(_Frame, frozen=True, tag=22):
    """Worker: the job (0: the start) failed with an error of this class name."""

    job: int
    error: str
    message: str
    hint: str


Command = Run | Count | Stop
Event = Booted | Admitted | Produced | Alive | Counted | Ended | Failed

_encoder = msgspec.msgpack.Encoder()
_commands: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)
_events: msgspec.msgpack.Decoder[Event] = msgspec.msgpack.Decoder(Event)

_ERRORS: dict[str, type[EngineError] | type[BadInput]] = {
    kind.__name__: kind
    for kind in (BadInput, PromptTooLong, Unsupported, ModelRejected, EngineCrashed, EngineError)
}


def encode(frame: Command | Event) -> bytes:
    """Return length and body; BadInput if the frame is over FRAME_BYTES or is not valid text."""
    try:
        body = _encoder.encode(frame)
    except UnicodeEncodeError as error:
        raise BadInput("the request holds half of a surrogate pair, which is not text") from error
    if len(body) > FRAME_BYTES:
        raise BadInput(f"the request has {len(body)} bytes; at most {FRAME_BYTES} are taken")
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def parse_length(prefix: bytes) -> int:
    """Return the body's length; EngineCrashed if it is over the cap, so the stream is lost."""
    length = int.from_bytes(prefix, "big")
    if length > FRAME_BYTES:
        raise EngineCrashed(f"a frame of {length} bytes, over the cap of {FRAME_BYTES}")
    return length


def decode_command(body: bytes) -> Command:
    """Decode what the parent sent; EngineCrashed if it is not a command."""
    try:
        return _commands.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise EngineCrashed(f"not a command: {error}") from error


def decode_event(body: bytes) -> Event:
    """Decode what the worker sent; EngineCrashed if it is not an event."""
    try:
        return _events.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise EngineCrashed(f"not an event: {error}") from error


def pack_error(job: int, error: ModelexError) -> Failed:
    """Return the frame that carries `error`, texts cut to what a person reads."""
    kind = type(error).__name__
    return Failed(job, kind if kind in _ERRORS else "EngineError", error.message[:2000], error.hint)


def unpack_error(frame: Failed) -> ModelexError:
    """Return the error a Failed frame carries."""
    return _ERRORS.get(frame.error, EngineError)(frame.message, hint=frame.hint)
