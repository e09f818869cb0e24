"""`modelex farm`: a virtual farm's account, whose income is its members' by weight.

What its owner signs is in owning.py, what a member does in membership.py.
"""

from typing import TYPE_CHECKING

import click

from p2p_modelex.cli.contracts import reads, sends
from p2p_modelex.cli.kinds import ADDRESS
from p2p_modelex.cli.listing import check_once
from p2p_modelex.cli.membership import find, join, leave, list_farms
from p2p_modelex.cli.owning import admit, create, renew, revoke
from p2p_modelex.cli.showing import Answer, Moment, tell_sent
from p2p_modelex.errors import BadInput
from p2p_modelex.ids import Address, format_address, parse_address

if TYPE_CHECKING:
    from p2p_modelex.chain.contracts.farm import Farm, Member
    from p2p_modelex.chain.contracts.network import Network

NOTICE_S = 7 * 24 * 3600
WEIGHT_MAX = 2**32 - 1


def _read_member(text: str) -> tuple[Address, int]:
    account, colon, weight = text.partition(":")
    if not colon or not weight.isdecimal() or not 0 < int(weight[:11]) <= WEIGHT_MAX:
        raise BadInput(f"not a member: {text[:80]!r}", hint="write ACCOUNT:WEIGHT, such as 0x…:3")
    return parse_address(account), int(weight)


_farm = click.argument("farm", type=ADDRESS)
_members = click.option(
    "--member",
    "members",
    type=_read_member,
    multiple=True,
    required=True,
    metavar="ACCOUNT:WEIGHT",
    help="Has this weight among all; up to 100 times.",
)


@click.group()
def farm() -> None:
    """A virtual farm: a group of providers under one name, paid on one channel (docs/farms.md).

    FARM is the address of its account on chain, whose income is the members' by weight; NAME is
    what the mesh calls it.
    """


@farm.command()
@_members
@click.option("--owner", type=ADDRESS, metavar="ACCOUNT", help="[default: this account]")
@click.option(
    "--notice",
    "notice_s",
    type=click.IntRange(0, 2**32),
    default=NOTICE_S,
    show_default=True,
    help="Seconds from announcing other members to the soonest that they count.",
)
@sends
async def deploy(
    network: "Network",
    members: tuple[tuple[Address, int], ...],
    owner: Address | None,
    notice_s: int,
) -> Answer:
    """Deploy a farm. Its owner may announce other members, and can never touch the money."""
    from p2p_modelex.chain.contracts.farm import Farm

    founder = owner or network.account
    made, sent = await Farm.found(network, founder, notice_s, _list(members))
    return tell_sent(sent, farm=made.address, owner=founder)


@farm.command()
@_farm
@click.option("--terms", type=click.IntRange(1, 2**32 - 1), help="[default: the current]")
@reads
async def show(network: "Network", farm: Address, terms: int | None) -> Answer:
    """Show a farm's owner and terms."""
    found = _open(network, farm)
    standing = await found.fetch_standing()
    shown = await found.fetch_terms(terms or standing.current)
    return {
        "farm": farm,
        "owner": standing.owner,
        "current_terms": standing.current,
        "announced_terms": standing.announced or None,
        "notice_s": standing.notice_s,
        "terms": shown.number,
        "begin": Moment(shown.begins_at),
        "closed": shown.closed,
        "income": shown.income,
    }


@farm.command()
@_farm
@click.option("--terms", type=click.IntRange(1, 2**32 - 1), help="[default: the current]")
@reads
async def members(network: "Network", farm: Address, terms: int | None) -> Answer:
    """List the members of a farm, and what is due to each."""
    found = _open(network, farm)
    number = terms or (await found.fetch_standing()).current
    return [
        {
            "member": member.account,
            "weight": member.weight,
            "due": await found.fetch_due(member.account, number),
        }
        for member in (await found.fetch_terms(number)).members
    ]


@farm.command()
@_farm
@_members
@sends
async def announce(
    network: "Network", farm: Address, members: tuple[tuple[Address, int], ...]
) -> Answer:
    """As the owner, announce other members, in place of any announced before."""
    sent = await _open(network, farm).announce(_list(members))
    told = sent.event("TermsAnnounced")
    return tell_sent(sent, terms=told["terms"], begin=Moment(told["beginsAt"]))


@farm.command()
@_farm
@sends
async def cancel(network: "Network", farm: Address) -> Answer:
    """As the owner, take the announcement back."""
    sent = await _open(network, farm).cancel()
    return tell_sent(sent, cancelled=sent.event("TermsCancelled")["terms"])


@farm.command()
@_farm
@sends
async def begin(network: "Network", farm: Address) -> Answer:
    """Make the announced members count, once their time has come. Anyone may.

    Settle the farm's channels first: income counts for those in whose time it comes in.
    """
    sent = await _open(network, farm).begin()
    return tell_sent(sent, terms=sent.event("TermsBegan")["terms"])


@farm.command()
@_farm
@click.argument("member", type=ADDRESS, required=False)
@click.option("--first", type=click.IntRange(1, 2**32 - 1), help="[default: the current terms]")
@click.option("--last", type=click.IntRange(1, 2**32 - 1), help="[default: the current terms]")
@sends
async def release(
    network: "Network", farm: Address, member: Address | None, first: int | None, last: int | None
) -> Answer:
    """Pay MEMBER what is due; by default this account. Anyone may: it goes nowhere else."""
    found = _open(network, farm)
    current = (await found.fetch_standing()).current
    payee = member or network.account
    first, last = first or current, last or current
    if first == last:
        await _check_member(found, payee, last)
    sent = await found.release(payee, first, last)
    return tell_sent(sent, member=payee, released=sent.sum_amounts("Released"))


async def _check_member(farm: "Farm", account: Address, terms: int) -> None:
    members = (await farm.fetch_terms(terms)).members
    if account not in [member.account for member in members]:
        raise BadInput(
            f"{format_address(account)} is no member by the farm's terms {terms}",
            hint="`modelex farm members` lists them; --first and --last name other terms",
        )


for _command in (create, admit, revoke, renew, join, leave, list_farms, find):
    farm.add_command(_command)


def _open(network: "Network", address: Address) -> "Farm":
    from p2p_modelex.chain.contracts.farm import Farm

    return Farm(network, address)


def _list(members: tuple[tuple[Address, int], ...]) -> "list[Member]":
    from p2p_modelex.chain.contracts.farm import Member

    check_once([account for account, _ in members], "member")
    return [Member(account, weight) for account, weight in members]
