"""How a refusal is said: its code, a short reason, and when to ask again (EXC-7)."""

from p2p_modelex import limits
from p2p_modelex.core.exchange import parameters
from p2p_modelex.core.exchange.terms import OpenJobs
from p2p_modelex.core.inputs import EngineFailed
from p2p_modelex.errors import JobRefused
from p2p_modelex.records.job import RefusalCode, Refused

# Refusals after which asking again a moment later makes sense.
_RACES = ("lane_in_use", "no_channel", "quote_expired", "wrong_epoch")
# What a failing engine makes of a job that has not begun.
_ENGINE_REFUSALS: dict[str, RefusalCode] = {
    "prompt_too_long": "prompt_too_long",
    "unsupported": "unsupported",
}


def refusal_of(failed: EngineFailed) -> JobRefused:
    """Return what an engine's failure is before the job has begun."""
    return JobRefused(_ENGINE_REFUSALS.get(failed.code, "busy"), failed.reason)


def build_refused(
    job: bytes, refusal: JobRefused, jobs: OpenJobs, retry_after_ms: int | None
) -> Refused:
    """Return the message. retry_after_ms: when to ask again, None for what the code and the jobs in
    hand suggest.
    """
    code: RefusalCode = refusal.code  # type: ignore[assignment]  # raised by us and the till
    reason = refusal.message.removeprefix(code).removeprefix(": ")[: limits.REASON_BYTES // 4]
    if retry_after_ms is None and code == "busy":
        retry_after_ms = jobs.compute_wait_ms()
    elif retry_after_ms is None:
        retry_after_ms = parameters.RACE_RETRY_MS if code in _RACES else 0
    return Refused(job, code, reason, min(retry_after_ms, 2**32 - 1))
