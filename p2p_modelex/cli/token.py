"""`modelex token`: balances, transfers and allowances of $AI; its splits and its owner."""

from typing import TYPE_CHECKING

import click

from p2p_modelex.cli.contracts import current, reads, sends
from p2p_modelex.cli.kinds import ADDRESS, AMOUNT
from p2p_modelex.cli.permits import bring_deposit, permit, sign_deposit, use_permit
from p2p_modelex.cli.showing import Answer, tell_sent
from p2p_modelex.cli.vesting import vesting
from p2p_modelex.ids import Address
from p2p_modelex.units import Wei, parse_ai

if TYPE_CHECKING:
    from p2p_modelex.chain.contracts.contract import Sent
    from p2p_modelex.chain.contracts.network import Network
    from p2p_modelex.chain.contracts.token import Token
    from p2p_modelex.chain.contracts.wrapped import Wrapped

UNLIMITED = "unlimited"


def _read_allowance(text: str) -> Wei | None:
    return None if text == UNLIMITED else parse_ai(text)


@click.group()
def token() -> None:
    """Balances, transfers and allowances of $AI; its splits and its owner.

    Amounts are AI of the token's current split epoch.
    """


for _command in (permit, use_permit, sign_deposit, bring_deposit, vesting):
    token.add_command(_command)


@token.command()
@reads
async def info(network: "Network") -> Answer:
    """Show supply, splits, owner, and the contracts that hold allocations."""
    token = _token(network)
    owner, offered_to = await token.fetch_owner()
    deployment = network.deployment
    return {
        "token": token.address,
        "supply": await token.fetch_supply(),
        **await _describe_split(token),
        "owner": owner,
        "offered_to": offered_to,
        "vesting": deployment.vesting,
        "wrapped": deployment.wrapped,
    }


@token.command()
@click.argument("account", type=ADDRESS, required=False)
@reads
async def balance(network: "Network", account: Address | None) -> Answer:
    """Show what ACCOUNT holds; by default the home's."""
    holder = account or network.account
    shown = {"account": holder, "balance": await _token(network).fetch_balance(holder)}
    if network.deployment.wrapped is None:
        return shown
    return {**shown, "wrapped": await _wrapped(network).fetch_balance(holder)}


@token.command()
@click.argument("to", type=ADDRESS)
@click.argument("amount", type=AMOUNT)
@sends
async def transfer(network: "Network", to: Address, amount: Wei) -> Answer:
    """Send AMOUNT of AI to an account."""
    paid = await current(network, amount)
    return tell_sent(await _token(network).transfer(to, paid), to=to, amount=paid)


@token.command()
@click.argument("spender", type=ADDRESS)
@click.argument("amount", type=_read_allowance)
@sends
async def approve(network: "Network", spender: Address, amount: Wei | None) -> Answer:
    """Let SPENDER take AMOUNT of AI in all, or `unlimited`; 0 takes that back."""
    allowed = None if amount is None else await current(network, amount)
    sent = await _token(network).approve(spender, allowed)
    return tell_sent(sent, spender=spender, allowance=allowed or UNLIMITED)


@token.command()
@click.argument("spender", type=ADDRESS)
@click.argument("holder", type=ADDRESS, required=False)
@reads
async def allowance(network: "Network", spender: Address, holder: Address | None) -> Answer:
    """Show what SPENDER may take of HOLDER; by default of the home's account."""
    holder = holder or network.account
    allowed = await _token(network).fetch_allowance(holder, spender)
    return {"holder": holder, "spender": spender, "allowance": allowed or UNLIMITED}


@token.command()
@click.argument("amount", type=AMOUNT)
@sends
async def wrap(network: "Network", amount: Wei) -> Answer:
    """Turn AMOUNT of AI into wAI, whose balance no split changes: for AMMs and bridges."""
    sent = await _wrapped(network).wrap(await current(network, amount))
    return tell_sent(sent, paid=sent.sum_amounts("Wrapped"), wrapped=_wrapped_in(sent, "Wrapped"))


@token.command()
@click.argument("wrapped", type=AMOUNT)
@sends
async def unwrap(network: "Network", wrapped: Wei) -> Answer:
    """Turn an amount of wAI back into AI."""
    sent = await _wrapped(network).unwrap(wrapped)
    paid = sent.sum_amounts("Unwrapped")
    return tell_sent(sent, paid=paid, wrapped=_wrapped_in(sent, "Unwrapped"))


@token.group()
def split() -> None:
    """2:1 splits: transfers stop for some blocks, then every amount is twice its number."""


@split.command()
@reads
async def status(network: "Network") -> Answer:
    """Show how many splits there were, and the blocks of the announced one."""
    return await _describe_split(_token(network))


@split.command()
@sends
async def announce(network: "Network") -> Answer:
    """As the token's owner, announce a split; its notice and pause are fixed for ever."""
    said = (sent := await _token(network).announce_split()).event("SplitAnnounced")
    return tell_sent(
        sent, epoch=said["epoch"], pauses_at=said["pausesAt"], splits_at=said["splitsAt"]
    )


@split.command()
@sends
async def cancel(network: "Network") -> Answer:
    """As the token's owner, take the announced split back before its pause begins."""
    sent = await _token(network).cancel_split()
    return tell_sent(sent, cancelled=sent.event("SplitCancelled")["epoch"])


@token.group()
def own() -> None:
    """Hand the token's ownership over in two steps. The owner can announce splits only."""


@own.command()
@click.argument("to", type=ADDRESS)
@sends
async def offer(network: "Network", to: Address) -> Answer:
    """As the owner, offer the ownership to TO; the zero account takes an offer back."""
    return tell_sent(await _token(network).offer_ownership(to), offered_to=to)


@own.command()
@sends
async def accept(network: "Network") -> Answer:
    """Accept the ownership that was offered to this account."""
    return tell_sent(await _token(network).accept_ownership(), owner=network.account)


def _token(network: "Network") -> "Token":
    from p2p_modelex.chain.contracts.token import Token

    return Token(network)


def _wrapped(network: "Network") -> "Wrapped":
    from p2p_modelex.chain.contracts.wrapped import Wrapped

    return Wrapped(network)


def _wrapped_in(sent: "Sent", event: str) -> Wei:
    return Wei(sent.event(event)["wrapped"])


async def _describe_split(token: "Token") -> dict[str, object]:
    split = await token.fetch_split()
    return {
        "epoch": split.epoch,
        "split": split.state,
        "block": split.head,
        "pauses_at": split.pauses_at or None,
        "splits_at": split.splits_at or None,
    }
