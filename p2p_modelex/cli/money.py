"""`modelex balance`, `channels`, `settle` and `close`."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import click

from p2p_modelex.cli.common import home_option, print_json, quiet_log, read_home, run_trio, unlock
from p2p_modelex.cli.doubts import show_doubt, tell_doubt
from p2p_modelex.cli.text import local_time
from p2p_modelex.errors import BadInput, Reverted, TransactionFailed
from p2p_modelex.ids import Address, ChannelId, format_address
from p2p_modelex.node import settling
from p2p_modelex.node.home import Home
from p2p_modelex.node.settling import Books, Settled, open_books
from p2p_modelex.records.channel import ChannelState, ChannelTerms
from p2p_modelex.records.rows import ChannelRow, IssuedVoucherRow, ReceivedVoucherRow, Row
from p2p_modelex.units import Epoch, Wei, format_ai, rescale

CLOSING, CLOSED = "closing", "closed"


@asynccontextmanager
async def _open(home: Home) -> AsyncGenerator[Books, None]:
    configuration = read_home(home)
    quiet_log()
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
        tokens, epoch = await _read_balance(books)
        gas = await books.chain.fetch_gas_balance(account)
    if as_json:
        shown = {"account": format_address(account), "wei": str(int(tokens)), "gas_wei": str(gas)}
        print_json({**shown, "split_epoch": epoch})
        return
    click.echo(f"account  {format_address(account)}")
    click.echo(f"tokens   {format_ai(tokens, epoch)}")
    click.echo(f"gas      {gas / 10**18:.6f} of the chain's coin")


@click.command()
@home_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def channels(home: Home, *, as_json: bool) -> None:
    """List payment channels: what is in them, promised, claimed and owed.

    And deposits that were signed, and of which it is not known yet how they ended.
    """
    run_trio(_channels, home, as_json)


@dataclass(frozen=True)
class _Line:
    """One channel with what is promised on it; debt: wei of work done beyond the vouchers. All
    amounts are in split epoch `epoch`, the token's.
    """

    state: ChannelState
    is_payer: bool
    deposit: int
    claimed: int
    vouchers: int
    debt: int
    epoch: Epoch


async def _channels(home: Home, as_json: bool) -> None:
    async with _open(home) as books:
        rows = await books.rows()
        doubts = [row for row in await books.store.deposits() if row.signed]
        epoch = await books.chain.fetch_epoch()
        lines = [
            await _describe(books, row, rows, epoch) for row in rows if isinstance(row, ChannelRow)
        ]
    if as_json:
        print_json([*map(_show_channel, lines), *map(show_doubt, doubts)])
        return
    if not lines and not doubts:
        click.echo("no channels yet; `modelex run` opens one", err=True)
    for line in lines:
        shown = _show_channel(line)
        click.echo(f"{shown['channel']}")
        click.echo(f"  {shown['role']} with {shown['other_side']}, {shown['state']}")
        if shown["state"] == CLOSING:
            click.echo(f"  {_describe_closing(line.state)}")
        amounts = {
            "deposit": line.deposit,
            "claimed": line.claimed,
            "vouchers": line.vouchers,
            "debt": line.debt,
        }
        click.echo(
            "  "
            + ", ".join(f"{name} {format_ai(amount)}" for name, amount in amounts.items())
            + (f" (split epoch {line.epoch})" if line.epoch else "")
        )
    for row in doubts:
        tell_doubt(row)


async def _describe(books: Books, row: ChannelRow, rows: list[Row], epoch: Epoch) -> _Line:
    channel = ChannelId(row.state.channel)
    here = [
        kept
        for kept in rows
        if isinstance(kept, IssuedVoucherRow | ReceivedVoucherRow)
        and kept.signed.voucher.channel == channel
    ]
    state = await books.chain.fetch_channel(row.state.terms) or row.state
    vouchers = [kept.signed.voucher for kept in here]
    debts = [
        (max(0, kept.earned - kept.signed.voucher.amount), kept.signed.voucher.epoch)
        for kept in here
        if isinstance(kept, ReceivedVoucherRow)
    ]
    return _Line(
        state=state,
        is_payer=row.is_payer,
        deposit=rescale(state.deposit, state.epoch, epoch),
        claimed=rescale(state.claimed, state.epoch, epoch),
        vouchers=sum(rescale(promise.amount, promise.epoch, epoch) for promise in vouchers),
        debt=sum(rescale(debt, written, epoch) for debt, written in debts),
        epoch=epoch,
    )


def _name_state(state: ChannelState) -> str:
    if state.is_open:
        return "open"
    # Closing takes back whatever is not claimed; where that is nothing, it has nothing to do.
    return CLOSED if state.deposit == state.claimed else CLOSING


def _describe_closing(state: ChannelState) -> str:
    moment = local_time(state.closes_at)
    if state.closes_at > time.time():
        return f"closing until {moment}"
    return f"could be closed since {moment}: modelex close"


def _show_channel(line: _Line) -> dict[str, str | int]:
    """A channel for programs; amounts in wei, as text, since JSON's numbers are inexact."""
    state = line.state
    return {
        "channel": "0x" + state.channel.hex(),
        "role": "payer" if line.is_payer else "payee",
        "other_side": format_address(Address(state.payee if line.is_payer else state.payer)),
        "state": _name_state(state),
        "closes_at": state.closes_at,
        "deposit_wei": str(line.deposit),
        "vouchers_wei": str(line.vouchers),
        "claimed_wei": str(line.claimed),
        "debt_wei": str(line.debt),
        "split_epoch": line.epoch,
    }


@click.command()
@home_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def settle(home: Home, *, as_json: bool) -> None:
    """Redeem every voucher held that brings anything.

    That is one transaction for each account that is paid, this home's and those of its farms. What
    was redeemed in the pause of a split is paid out by the next run after it.
    """
    run_trio(_settle, home, as_json)


async def _settle(home: Home, as_json: bool) -> None:
    async with _open(home) as books:
        epoch = await books.chain.fetch_epoch()

        def tell(settled: Settled) -> None:
            if not as_json:
                _tell_settled(settled, epoch)

        done = await settling.settle(books, tell=tell)
        paid = await settling.pay_out(books, done)
    if as_json:
        print_json(_show_settled(done, paid, epoch))
        return
    if paid:
        click.echo(f"paid out     {format_ai(paid, epoch)}, which a split's pause had held up")
    if not done:
        click.echo("there is nothing to redeem")


def _tell_settled(settled: Settled, epoch: Epoch) -> None:
    click.echo(f"account      {format_address(settled.payee)}")
    click.echo(f"transaction  0x{settled.transaction.hex()}")
    click.echo(f"vouchers     {settled.vouchers}, skipped {settled.skipped}")
    click.echo(f"credited     {format_ai(settled.credited, epoch)}")
    click.echo(f"gas          {settled.gas_used}")


def _show_settled(done: list[Settled], paid: Wei, epoch: Epoch) -> dict[str, Any]:
    """Settlements for programs. paid: what a split's pause had held up."""
    return {
        "settled": [
            {
                "account": format_address(one.payee),
                "transaction": "0x" + one.transaction.hex(),
                "vouchers": one.vouchers,
                "skipped": one.skipped,
                "credited_wei": str(int(one.credited)),
                "gas_used": one.gas_used,
            }
            for one in done
        ],
        "paid_out_wei": str(int(paid)),
        "split_epoch": epoch,
    }


@click.command()
@home_option
@click.argument("channel")
def close(home: Home, channel: str) -> None:
    """Close CHANNEL: as its payee at once, as its payer by running this twice.

    The payee redeems what it holds of it before, and the rest goes back to the payer. The payer
    begins, and ends it after the challenge period, in which the payee may redeem; until then the
    exit code is 12.
    """
    try:
        raw = bytes.fromhex(channel.removeprefix("0x"))
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise BadInput("a channel is 0x and 64 hexadecimal digits", hint="modelex channels")
    run_trio(_close, home, ChannelId(raw))


async def _close(home: Home, channel: ChannelId) -> None:
    async with _open(home) as books:
        terms = await _find_terms(books, channel)
        state = None if terms is None else await books.chain.fetch_channel(terms)
        if state is None:
            raise BadInput(f"there is no channel 0x{channel.hex()} on this network")
        if not state.is_open and _name_state(state) == CLOSED:
            click.echo("it is closed: nothing is left in it")
        elif books.chain.account not in (state.payer, state.payee):
            payer = format_address(Address(state.payer))
            raise BadInput(
                f"the channel is of {payer}, which alone can close it",
                hint="what a farm's member holds of one is redeemed all the same: modelex settle",
            )
        elif state.payee == books.chain.account:
            await _close_as_payee(books, state)
        elif state.is_open:
            state = await books.chain.start_close(state.terms)
            moment = f"{local_time(state.closes_at)} (unix time {state.closes_at})"
            click.echo(f"closing; run this again after {moment}")
        else:
            await _finish_close(books, state)


async def _close_as_payee(books: Books, state: ChannelState) -> None:
    """Nothing that we hold is lost: it is redeemed first, and if that fails we do not close."""
    done = await settling.settle(books, ChannelId(state.channel))
    await books.chain.pay_out(books.chain.account)
    closed = await books.chain.close_as_payee(state.terms)
    epoch = await books.chain.fetch_epoch()
    credited = format_ai(Wei(sum(one.credited for one in done)), epoch)
    click.echo(f"closed; {credited} redeemed, of {format_ai(closed.claimed, epoch)} in all")


async def _find_terms(books: Books, channel: ChannelId) -> ChannelTerms | None:
    """Of a channel on record here, or of any that a home which lost its records opened."""
    for row in await books.store.channels():
        if row.state.channel == channel:
            return row.state.terms
    return await books.chain.find_terms(channel)


async def _finish_close(books: Books, state: ChannelState) -> None:
    before, then = await _read_balance(books)
    try:
        await books.chain.finish_close(state.terms)
    except Reverted as error:
        # The chain's clock decides, so it is asked before ours is looked at.
        if error.name != "ChallengePeriodRunning":
            raise
        raise TransactionFailed(
            f"the challenge period runs until {local_time(state.closes_at)}",
            hint=f"run this again then, after unix time {state.closes_at} of the chain",
        ) from error
    after, epoch = await _read_balance(books)
    back = max(0, after - rescale(before, then, epoch))
    click.echo(f"closed; {format_ai(back, epoch)} came back")


async def _read_balance(books: Books) -> tuple[Wei, Epoch]:
    tokens = await books.chain.fetch_balance(books.keys.account.address)
    return tokens, await books.chain.fetch_epoch()
