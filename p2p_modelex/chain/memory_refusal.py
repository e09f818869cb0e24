"""How the contracts in memory refuse: as the real ones do in an estimate."""

from p2p_modelex.errors import Reverted


def revert(name: str, **arguments: object) -> Reverted:
    """Return the error to raise: a contract's own, with its values."""
    shown = ", ".join(f"{key}={value}" for key, value in arguments.items())
    return Reverted(f"it would revert: {name}({shown})", name=name, arguments=arguments)
