"""A question to an upstream and its answer: typed JSON, or one of our errors."""

from typing import TypeVar

import msgspec

from p2p_modelex.engine.upstream.http import Server
from p2p_modelex.errors import EngineBusy, EngineError, PromptTooLong, Unsupported

_REASON_CHARACTERS = 200
_RETRY_MS, _RETRY_MAX_MS = 1_000, 60_000
_TOO_LONG = ("context length", "context size", "maximum context", "too long", "exceed_context")


T = TypeVar("T")


async def ask(server: Server, target: str, body: object, kind: type[T], *, timeout_s: float) -> T:
    """GET a target (body None) or POST to it, and return its JSON as `kind`; EngineError."""
    status, content = await server.fetch(target, body, timeout_s=timeout_s)
    if status != 200:
        raise build_error(server, status, content)
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise EngineError(f"the upstream's answer at {target} makes no sense: {error}") from error


class _Detail(msgspec.Struct, frozen=True):
    message: str = ""
    type: str = ""


class _Fault(msgspec.Struct, frozen=True):
    error: _Detail | str | None = None
    message: str = ""
    """SGLang and older vLLM have it at the top."""


def build_error(server: Server, status: int, body: bytes, retry_after: str = "") -> EngineError:
    """Return the error that a status other than 200 means. retry_after: that header, in seconds.

    A bad key's answer is not shown: servers repeat the key in it.
    """
    if status in (401, 403):
        return EngineError(
            "the upstream does not take our key",
            hint="look at api_key_file and api_key_variable of the model",
        )
    if status in (429, 503):
        seconds = float(retry_after) if retry_after.isdigit() else _RETRY_MS / 1000
        wait_ms = round(min(max(seconds * 1000, _RETRY_MS), _RETRY_MAX_MS))
        return EngineBusy("the upstream is busy", retry_after_ms=wait_ms)
    reason = server.redact(_read_reason(body))
    if status in (400, 413, 422):
        if any(sign in reason.lower() for sign in _TOO_LONG):
            return PromptTooLong(reason)
        return Unsupported(f"the upstream refuses it: {reason}")
    if status in (404, 405, 501):
        return Unsupported(f"the upstream does not serve it ({status}): {reason}")
    return EngineError(f"the upstream failed ({status})")


def _read_reason(body: bytes) -> str:
    try:
        fault = msgspec.json.decode(body, type=_Fault)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "no reason given"
    text = fault.message
    if isinstance(fault.error, _Detail):
        text = f"{fault.error.message} {fault.error.type}".strip()
    elif fault.error:
        text = fault.error
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable[:_REASON_CHARACTERS] or "no reason given"
