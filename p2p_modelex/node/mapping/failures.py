"""How an order failed, as the machine is told, and how a map did, as its caller is."""

from p2p_modelex.core.effects import RunFailed
from p2p_modelex.core.mapping.acts import OrderFailed, Stop
from p2p_modelex.core.outcomes import is_at_fault
from p2p_modelex.errors import ModelexError, NetworkError, NoProvider, PaymentError
from p2p_modelex.node.run_errors import hint_of
from p2p_modelex.units import Wei

_UNWELL = "RTE-8"


def describe_failure(order: int, failed: RunFailed | None, paid: Wei) -> OrderFailed:
    """Say why an order brought no whole answer; None: because it was cancelled."""
    if failed is None:
        return OrderFailed(order, "cancelled", "it was cut off", False, 0, paid)
    is_unwell = failed.code == "no_provider" and failed.reason.startswith(_UNWELL)
    return OrderFailed(
        order,
        failed.code,
        failed.reason,
        is_at_fault(failed) or is_unwell,
        failed.retry_after_ms,
        paid,
    )


def error_of_stop(stop: Stop) -> ModelexError:
    """Return the error that a map which stopped by itself raises."""
    match stop.code:
        case "budget":
            return PaymentError(
                f"the budget is used up: {stop.reason}", hint="give a larger --max-cost"
            )
        case "no_channel":
            hint = "`modelex balance` shows what there is; [requester] says what may be deposited"
            return PaymentError(f"nobody can be paid: {stop.reason}", hint=hint)
        case "no_provider":
            return NoProvider(stop.reason, hint=hint_of(stop.reason))
        case _:
            return NetworkError(stop.reason, hint="modelex nodes shows who is there")
