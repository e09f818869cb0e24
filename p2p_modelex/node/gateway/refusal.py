"""What a request that is not answered gets: an error in OpenAI's shape, and its HTTP status."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import msgspec

from p2p_modelex.core.effects import RunFailed
from p2p_modelex.errors import (
    BadInput,
    EngineBusy,
    EngineError,
    JobFailed,
    JobRefused,
    ModelexError,
    NetworkError,
    NoProvider,
    PaymentError,
    PromptTooLong,
    Unsupported,
)

CLIENT_GONE = 499
"""Is only logged: whoever asked has gone."""
DEADLINE = 504
"""The time that whoever asked gave is up."""

ErrorType = Literal[
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "not_found_error",
    "billing_error",
    "rate_limit_error",
    "server_error",
]


class ErrorBody(msgspec.Struct, frozen=True):
    """`error` of an answer. param: the field that is wrong. code: ours, in docs/gateway.md."""

    message: str
    type: ErrorType
    param: str | None
    code: str


class ErrorAnswer(msgspec.Struct, frozen=True):
    """The body of every answer that is not 200."""

    error: ErrorBody


_TYPES: Mapping[int, ErrorType] = MappingProxyType(
    {
        401: "authentication_error",
        402: "billing_error",
        403: "permission_error",
        404: "not_found_error",
        429: "rate_limit_error",
    }
)

# Statuses and codes by the rule of the filter that took the last candidate (protocols/routing).
_BY_RULE: Mapping[str, tuple[int, str]] = MappingProxyType(
    {
        "RTE-1": (404, "model_not_found"),
        "RTE-2": (400, "unsupported"),
        "RTE-3": (400, "context_length_exceeded"),
        "RTE-5": (402, "over_ceiling"),
        "RTE-7": (400, "no_provider"),
        "RTE-13": (402, "over_ceiling"),
        "RTE-14": (400, "no_provider"),
        "RTE-26": (400, "no_provider"),
        "RTE-27": (400, "no_provider"),
    }
)
# And by the code of a provider's refusal or failure; what is not here is the provider's fault.
_BY_CODE: Mapping[str, int] = MappingProxyType(
    {
        "unknown_model": 404,
        "unsupported": 400,
        "prompt_too_long": 400,
        "over_ceiling": 402,
        "no_channel": 402,
        "channel_exhausted": 402,
        "debt": 402,
        "bad_voucher": 402,
        "busy": 503,
        "shutting_down": 503,
        "lane_in_use": 503,
        "cancelled": CLIENT_GONE,
        "deadline": DEADLINE,
    }
)
_CODES = {"prompt_too_long": "context_length_exceeded", "unknown_model": "model_not_found"}


class Refusal(Exception):
    """Ends a request with an answer that is not 200. Raised in the gateway only.

    status: of HTTP, or CLIENT_GONE. retry_after_s: when asking
    again makes sense, 0 for no hint.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        retry_after_s: int = 0,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s

    @property
    def body(self) -> bytes:
        """The answer's JSON."""
        fallback: ErrorType = "server_error" if self.status >= 500 else "invalid_request_error"
        kind = _TYPES.get(self.status, fallback)
        return msgspec.json.encode(
            ErrorAnswer(ErrorBody(self.message, kind, self.param, self.code))
        )

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """What the answer's head says besides."""
        return (("retry-after", str(self.retry_after_s)),) if self.retry_after_s else ()


def refusal_of(error: ModelexError, failed: RunFailed | None = None) -> Refusal:
    """Return what an error of ours looks like from outside; `failed` if a run ended so."""
    # Hints name commands and configuration, which is for those who run the node.
    message = str(error)
    if failed is not None:
        return _refusal_of_run(failed, message)
    match error:
        case BadInput():
            return Refusal(400, "invalid_value", message)
        case EngineBusy(retry_after_ms=wait_ms):
            return Refusal(503, "busy", message, retry_after_s=_seconds(wait_ms))
        case PromptTooLong():
            return Refusal(400, "context_length_exceeded", message)
        case Unsupported():
            return Refusal(400, "unsupported", message)
        case EngineError() | JobFailed() | JobRefused():
            return Refusal(502, "engine", message)
        case PaymentError():
            return Refusal(402, "payment", message)
        case NoProvider() | NetworkError():
            return Refusal(503, "no_provider", message)
        case _:
            return Refusal(500, "internal", message)


def _refusal_of_run(failed: RunFailed, message: str) -> Refusal:
    if failed.code == "no_provider":
        status, code = _BY_RULE.get(failed.reason.partition(":")[0], (503, "no_provider"))
        return Refusal(status, code, message, param="model" if status == 404 else None)
    status = _BY_CODE.get(failed.code, 502)
    code = _CODES.get(failed.code, failed.code)
    return Refusal(status, code, message, retry_after_s=_seconds(failed.retry_after_ms))


def _seconds(milliseconds: int) -> int:
    return math.ceil(milliseconds / 1000)
