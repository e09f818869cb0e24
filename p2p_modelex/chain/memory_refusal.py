"""How the contracts in memory refuse: as the real ones do in an estimate."""

from p2p_modelex.errors import TransactionFailed


def revert(reason: str) -> TransactionFailed:
    """Return the error to raise; reason: `Name(argument=value, ...)`, as the contract's own."""
    return TransactionFailed(f"it would revert: {reason}")
