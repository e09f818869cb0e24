"""How a run that failed is told to its caller: the error's class, and what to do about it."""

from p2p_modelex.core.effects import RunFailed
from p2p_modelex.errors import (
    JobFailed,
    JobRefused,
    ModelexError,
    NetworkError,
    NoProvider,
    PaymentError,
)

_PAYMENT_CODES = ("no_channel", "channel_exhausted", "debt", "bad_voucher", "over_ceiling")
_FUND = "`modelex balance` shows what there is; [requester] says what may be deposited"
# What to do, by the rule of the filter that took the last candidate, or by code.
_HINTS = {
    "RTE-1": "modelex nodes lists the models",
    "RTE-2": "ask for a kind that is served: --kind",
    "RTE-3": "shorten the prompt, or ask for fewer tokens: --max-tokens",
    "RTE-4": "try again in a moment: $AI has just split, and not everybody has seen it",
    "RTE-5": "raise the ceiling: --max-price, or max_cost in [requester]",
    "RTE-7": "name others, with --peer, or allow and deny of the profile; modelex nodes lists them",
    "RTE-14": "ask for another --section; modelex nodes shows who is in which",
    "RTE-26": "ask for another --farm, or for none",
    "RTE-27": "modelex nodes shows of which farms they are",
    "RTE-8": "wait a little, or look with `modelex nodes` who is there",
    "prompt_too_long": "shorten the prompt, or ask for fewer tokens: --max-tokens",
    "over_ceiling": "raise the ceiling: --max-price, or max_cost in [requester]",
    "busy": "try again in a moment",
    "deadline": "allow more time, or ask for fewer tokens; what came by then is paid",
    "wrong_epoch": "try again in a moment: $AI has just split, and not everybody has seen it",
    "no_channel": _FUND,
    "channel_exhausted": _FUND,
}


def hint_of(reason: str) -> str:
    """What to do where nobody can serve, by the rule that the reason begins with."""
    return _HINTS.get(reason.partition(":")[0], "modelex nodes shows who sells what")


def error_of(failed: RunFailed) -> ModelexError:
    """Return the error that a failed run raises."""
    code, reason = failed.code, failed.reason
    hint = _HINTS.get(code, "")
    if code == "no_provider":
        return NoProvider(reason, hint=hint_of(reason))
    if code in _PAYMENT_CODES:
        return PaymentError(f"{code}: {reason}", hint=hint)
    if code in ("dial", "stream"):
        return NetworkError(reason, hint="modelex nodes shows who is there")
    if failed.refused and code not in ("cancelled", "deadline"):
        return JobRefused(code, reason, hint=hint)
    return JobFailed(f"{code}: {reason}", hint=hint)
