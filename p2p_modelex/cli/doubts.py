"""How `modelex channels` shows deposits of which it is not known yet how they end (LED-14)."""

import click

from p2p_modelex.chain.evm.transaction import read_transaction
from p2p_modelex.ids import format_address
from p2p_modelex.records.rows import DepositRow
from p2p_modelex.units import format_ai


def show_doubt(row: DepositRow) -> dict[str, str | int | None]:
    """A deposit for programs; channel: None for a new one; transaction: the newest of its nonce."""
    transaction, signed = read_transaction(row.signed[-1])
    return {
        "channel": "0x" + row.channel.hex() if row.channel else None,
        "role": "payer",
        "other_side": format_address(row.payee),
        "state": "in doubt",
        "deposit_wei": str(row.amount),
        "split_epoch": row.epoch,
        "transaction": "0x" + signed.hash.hex(),
        "nonce": transaction.nonce,
    }


def tell_doubt(row: DepositRow) -> None:
    """Print a deposit for people."""
    shown = show_doubt(row)
    click.echo(shown["channel"] or "a new channel")
    amount = format_ai(row.amount, row.epoch)
    click.echo(f"  payer with {shown['other_side']}, in doubt: a deposit of {amount}")
    click.echo(f"  transaction {shown['transaction']}, nonce {shown['nonce']} of the account")
    click.echo("  counts as made until it is mined, or another with that nonce is")
