"""The demonstration's money: who paid, what arrived, and whether it adds up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import trio
from rich.console import Console
from rich.table import Table

from p2p_modelex.chain.evm.port import EvmChain
from p2p_modelex.demo.mesh import CAST, GATEWAY, Mesh
from p2p_modelex.errors import ModelexError
from p2p_modelex.node.settling import Settled
from p2p_modelex.store.sqlite import SqliteStore
from p2p_modelex.units import Wei, format_ai

ARRIVAL_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Sums:
    """Wei, before and after by account. paid: by the client's jobs. others: through the API.
    deposits: the client's.
    """

    before: Mapping[str, Wei]
    after: Mapping[str, Wei]
    paid: int
    others: int
    deposits: int


async def read_balances(mesh: Mesh) -> dict[str, Wei]:
    """Return what the client and each node have."""
    names = ["client", *(one.name for one in CAST)]
    async with EvmChain(mesh.net.url, mesh.deployment, mesh.keys["client"].account) as chain:
        return {name: await chain.fetch_balance(mesh.keys[name].account.address) for name in names}


async def sum_by_gateway(mesh: Mesh) -> int:
    """Return what whoever tried the API has paid through it."""
    async with SqliteStore(mesh.homes[GATEWAY].database, read_only=True) as store:
        return sum(row.signed.voucher.amount for row in await store.issued_vouchers())


async def wait_for_vouchers(mesh: Mesh) -> None:
    """Wait until the last vouchers, sent a moment ago, are in their nodes' stores."""
    with trio.move_on_after(ARRIVAL_TIMEOUT_S):
        while await _is_any_missing(mesh):
            await trio.sleep(0.1)


async def _is_any_missing(mesh: Mesh) -> bool:
    """Whether more was promised than the nodes have in their stores."""
    missing = 0
    for payer in ("client", GATEWAY):
        async with SqliteStore(mesh.homes[payer].database, read_only=True) as store:
            missing += sum(row.signed.voucher.amount for row in await store.issued_vouchers())
    for one in CAST:
        async with SqliteStore(mesh.homes[one.name].database, read_only=True) as store:
            missing -= sum(row.signed.voucher.amount for row in await store.received_vouchers())
    return missing > 0


def show(sums: Sums, settled: Sequence[Sequence[Settled]], console: Console) -> None:
    """Print who has what; ModelexError unless it adds up."""
    table = Table(title="Settlement", title_justify="left")
    for column in ("account", "before", "after"):
        table.add_column(column)
    for name, amount in sums.after.items():
        table.add_row(name, format_ai(sums.before[name]), format_ai(amount))
    console.print(table)
    for one, results in zip(CAST, settled, strict=True):
        for result in results:
            transaction = "0x" + result.transaction.hex()
            console.print(
                f"{one.name} redeemed for {result.gas_used:,} gas in {transaction}", soft_wrap=True
            )
    _check(sums, console)


def _check(sums: Sums, console: Console) -> None:
    earned = sum(sums.after[one.name] - sums.before[one.name] for one in CAST)
    locked = sums.before["client"] - sums.after["client"]
    console.print(f"paid by vouchers:                  {format_ai(Wei(sums.paid))}")
    if sums.others:
        console.print(f"paid through the API by vouchers:  {format_ai(Wei(sums.others))}")
    console.print(f"earned by all nodes on chain:      {format_ai(Wei(earned))}")
    console.print(
        f"client's deposits in channels:     {format_ai(Wei(locked))}, of which unspent "
        f"{format_ai(Wei(locked - sums.paid))}"
    )
    if locked != sums.deposits or earned != sums.paid + sums.others:
        raise ModelexError("the money does not add up")
    console.print("the money adds up")
