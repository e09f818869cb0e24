"""What commands share that sell, list or pay out: ceilings and earnings."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from p2p_modelex.cli.kinds import AMOUNT
from p2p_modelex.cli.showing import Answer, tell_sent
from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.errors import BadInput, PaymentError
from p2p_modelex.ids import Address, format_address
from p2p_modelex.units import Wei

if TYPE_CHECKING:
    from p2p_modelex.chain.contracts.credits import Credits

LIMIT = 20
"""Rows of what is shown newest first."""


def ceiling_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--ceiling AI`, given to the command as Wei or None."""
    return click.option("--ceiling", type=AMOUNT, help="The most to pay, AI. [default: any]")(
        command
    )


def check_ceiling(price: Amount, ceiling: Wei | None) -> None:
    """Raise PaymentError if a price, of the current epoch, is over what the user would pay."""
    if ceiling is not None and price.wei > ceiling:
        raise PaymentError(f"it costs {price}, more than the ceiling", hint="raise --ceiling")


def check_once(accounts: Sequence[Address], role: str) -> None:
    """Raise BadInput if an account is named twice."""
    for place, account in enumerate(accounts):
        if account in accounts[:place]:
            raise BadInput(
                f"{format_address(account)} is named twice", hint=f"name each {role} once"
            )


async def tell_earned(contract: "Credits", account: Address) -> Answer:
    """Say what an account earned and has not withdrawn."""
    return {"account": account, "earned": await contract.fetch_earned(account)}


async def withdraw_earned(contract: "Credits", account: Address) -> Answer:
    """Have an account paid what it earned; nothing is sent where that is nothing."""
    earned = await contract.fetch_earned(account)
    if not earned.wei:
        return {"account": account, "withdrawn": earned}
    return tell_sent(await contract.withdraw(account), account=account, withdrawn=earned)
