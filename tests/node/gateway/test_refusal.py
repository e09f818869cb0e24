"""Each error of ours as it looks from outside."""

import pytest

from p2p_modelex.core.effects import RunFailed
from p2p_modelex.errors import (
    BadInput,
    EngineBusy,
    EngineCrashed,
    JobFailed,
    JobRefused,
    ModelexError,
    NetworkError,
    NoProvider,
    PaymentError,
    PromptTooLong,
    StoreError,
    Unsupported,
)
from p2p_modelex.ids import JobId
from p2p_modelex.node.gateway.refusal import refusal_of
from p2p_modelex.node.run_errors import error_of
from p2p_modelex.records.job import FailureCode, RefusalCode
from p2p_modelex.units import Wei


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (BadInput("x"), 400, "invalid_value"),
        (EngineBusy("x", retry_after_ms=1500), 503, "busy"),
        (PromptTooLong("x"), 400, "context_length_exceeded"),
        (Unsupported("x"), 400, "unsupported"),
        (EngineCrashed("x"), 502, "engine"),
        (JobFailed("x"), 502, "engine"),
        (JobRefused("busy", "x"), 502, "engine"),
        (PaymentError("x"), 402, "payment"),
        (NoProvider("x"), 503, "no_provider"),
        (NetworkError("x"), 503, "no_provider"),
        (StoreError("x"), 500, "internal"),
    ],
)
def test_errors_of_the_node(error: ModelexError, status: int, code: str) -> None:
    refusal = refusal_of(error)
    assert (refusal.status, refusal.code) == (status, code)
    assert refusal.message == str(error)
    assert refusal.retry_after_s == (2 if code == "busy" else 0)


CODES = (*RefusalCode.__args__, *FailureCode.__args__, "dial", "stream", "protocol", "timeout")  # type: ignore[attr-defined]
OURS = {"over_ceiling", "no_channel", "channel_exhausted", "debt", "bad_voucher"}


@pytest.mark.parametrize("code", CODES)
def test_a_run_ends_with_the_code_of_its_last_provider(code: str) -> None:
    failed = RunFailed(JobId(bytes(16)), None, code, "x", False, 2100, Wei(0))
    refusal = refusal_of(error_of(failed), failed)
    assert refusal.retry_after_s == 3
    if code in OURS:
        assert refusal.status == 402
    elif code in ("prompt_too_long", "unknown_model"):
        assert refusal.code in ("context_length_exceeded", "model_not_found")
        assert refusal.status in (400, 404)
    else:
        assert refusal.code == code
        assert refusal.status in (400, 502, 503, 504)


@pytest.mark.parametrize(
    ("rule", "status"), [("RTE-1", 404), ("RTE-3", 400), ("RTE-5", 402), ("RTE-8", 503)]
)
def test_no_provider_is_told_by_what_was_missing(rule: str, status: int) -> None:
    failed = RunFailed(JobId(bytes(16)), None, "no_provider", f"{rule}: x", True, 0, Wei(0))
    refusal = refusal_of(error_of(failed), failed)
    assert refusal.status == status
    assert refusal.param == ("model" if status == 404 else None)
