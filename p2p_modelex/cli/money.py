"""`modelex balance`, `channels`, `settle` and `close`."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import click

from p2p_modelex.cli.common import home_option, print_json, print_table, read_home, run_trio, unlock
from p2p_modelex.errors import BadInput
from p2p_modelex.ids import Address, ChannelId, format_address
from p2p_modelex.node.home import Home
from p2p_modelex.node.settling import Books, open_books
from p2p_modelex.node.settling import settle as redeem_all
from p2p_modelex.records.rows import ChannelRow, ReceivedVoucherRow, Row
from p2p_modelex.units import Wei, format_ai


@asynccontextmanager
async def _open(home: Home) -> AsyncGenerator[Books, None]:
    configuration = read_home(home)
    async with open_books(home, unlock(home, configuration)) as books:
        yield books


@click.command()
@home_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def balance(home: Home, *, as_json: bool) -> None:
    """Show what the account holds."""
    run_trio(_balance, home, as_json)


async def _balance(home: Home, as_json: bool) -> None:
    async with _open(home) as books:
        account = books.keys.account.address
        tokens = await books.chain.fetch_balance(account)
        gas = await books.chain.fetch_gas_balance(account)
    if as_json:
        print_json({"account": format_address(account), "wei": int(tokens), "gas_wei": gas})
        return
    click.echo(f"account  {format_address(account)}")
    click.echo(f"tokens   {format_ai(tokens)}")
    click.echo(f"gas      {gas / 10**18:.6f} of the chain's coin")


@click.command()
@home_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def channels(home: Home, *, as_json: bool) -> None:
    """List payment channels: what is in them, promised, claimed and owed."""
    run_trio(_channels, home, as_json)


COLUMNS = ("channel", "role", "other side", "deposit", "vouchers", "claimed", "debt", "state")


async def _channels(home: Home, as_json: bool) -> None:
    async with _open(home) as books:
        rows = await books.rows()
        table = [await _describe(books, row, rows) for row in rows if isinstance(row, ChannelRow)]
    if as_json:
        print_json([dict(zip(COLUMNS, line, strict=True)) for line in table])
    else:
        print_table(COLUMNS, table)


async def _describe(books: Books, row: ChannelRow, rows: list[Row]) -> tuple[str, ...]:
    channel = ChannelId(row.state.channel)
    state = await books.chain.fetch_channel(channel) or row.state
    vouchers = sum(
        kept.signed.voucher.amount
        for kept in rows
        if hasattr(kept, "signed") and kept.signed.voucher.channel == channel
    )
    debt = sum(
        max(0, kept.earned - kept.signed.voucher.amount)
        for kept in rows
        if isinstance(kept, ReceivedVoucherRow) and kept.signed.voucher.channel == channel
    )
    return (
        "0x" + channel.hex(),
        "payer" if row.is_payer else "payee",
        format_address(Address(state.payee if row.is_payer else state.payer)),
        format_ai(state.deposit),
        format_ai(vouchers),
        format_ai(state.claimed),
        format_ai(debt),
        "open" if state.is_open else "closing",
    )


@click.command()
@home_option
def settle(home: Home) -> None:
    """Redeem every voucher held that brings anything, in one transaction."""
    run_trio(_settle, home)


async def _settle(home: Home) -> None:
    async with _open(home) as books:
        settled = await redeem_all(books)
    if settled is None:
        click.echo("there is nothing to redeem")
        return
    click.echo(f"transaction  0x{settled.transaction.hex()}")
    click.echo(f"vouchers     {settled.vouchers}, skipped {settled.skipped}")
    click.echo(f"credited     {format_ai(settled.credited)}")
    click.echo(f"gas          {settled.gas_used}")


@click.command()
@home_option
@click.argument("channel")
def close(home: Home, channel: str) -> None:
    """Begin to close CHANNEL as its payer, or end it once the challenge period is over."""
    try:
        raw = bytes.fromhex(channel.removeprefix("0x"))
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise BadInput("a channel is 0x and 64 hexadecimal digits", hint="modelex channels")
    run_trio(_close, home, ChannelId(raw))


async def _close(home: Home, channel: ChannelId) -> None:
    async with _open(home) as books:
        state = await books.chain.fetch_channel(channel)
        if state is None:
            raise BadInput(f"there is no channel 0x{channel.hex()} on this network")
        if state.is_open:
            state = await books.chain.start_close(channel)
            click.echo(f"closing; run this again after unix time {state.closes_at}")
            return
        before = await books.chain.fetch_balance(books.keys.account.address)
        await books.chain.finish_close(channel)
        after = await books.chain.fetch_balance(books.keys.account.address)
        click.echo(f"closed; {format_ai(Wei(max(0, after - before)))} came back")
