"""`modelex farm join`, `leave`, `list`, `find`: what a member does, and what all see of a farm."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from p2p_modelex.cli.common import check_home, home_option, quiet_log, run_trio
from p2p_modelex.cli.contracts import reads_home
from p2p_modelex.cli.showing import Answer, Moment, print_answer
from p2p_modelex.errors import BadInput, ModelexError
from p2p_modelex.ids import (
    Address,
    PublicKey,
    format_address,
    format_peer_id,
    peer_id_of,
    public_key_of,
)
from p2p_modelex.node.home import Home
from p2p_modelex.units import Epoch, UnixMs, Wei

if TYPE_CHECKING:
    from p2p_modelex.chain.contracts.network import Network
    from p2p_modelex.core.directory.entry import Entry
    from p2p_modelex.records.farm import Membership

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@reads_home
async def join(network: "Network", home: Home, file: Path) -> Answer:
    """Become a member of a farm by the certificate in FILE, which its owner handed out.

    A running node shows it within seconds. What the farm's account on chain makes of this home's
    account is printed: the terms by which its income is divided.
    """
    from p2p_modelex.keys.keystore import read_peer
    from p2p_modelex.node.assembly import deployment_of
    from p2p_modelex.node.configuration_file import read_configuration
    from p2p_modelex.node.farms import read_certificate_file, write_joined
    from p2p_modelex.records.farm import validate_certificate

    check_home(home)
    handed = read_certificate_file(file)
    told = handed.membership.certificate
    moment = UnixMs(max(time.time_ns() // 1_000_000, told.not_before))
    deployment = deployment_of(home, read_configuration(home.configuration))
    member = public_key_of(read_peer(home.keys))
    try:
        validate_certificate(handed.envelope, member, deployment.network, moment, moment)
    except ModelexError as error:
        raise BadInput(
            f"the certificate is no good for this home's peer: {error.message}",
            hint=f"the owner admits {format_peer_id(peer_id_of(member))}",
        ) from error
    if told.payee == network.account:
        raise BadInput("the farm pays this home's own account", hint="a farm needs its own")
    terms = await _describe_terms(network, Address(told.payee))
    write_joined(home, handed)
    return {**_describe(handed.membership), **terms}


async def _describe_terms(network: "Network", payee: Address) -> Mapping[str, Any]:
    """What the payee's contract, if it is a Farm, gives this account of its income."""
    from p2p_modelex.chain.contracts.farm import Farm

    farm = Farm(network, payee)
    try:
        standing = await farm.fetch_standing()
        terms = await farm.fetch_terms(standing.current)
    except ModelexError as error:
        return {"warning": f"the payee is no Farm whose terms could be read: {error.message}"}
    whole = sum(member.weight for member in terms.members)
    own = [member.weight for member in terms.members if member.account == network.account]
    if not own:
        return {"warning": f"this account is no member by the terms {terms.number} of the Farm"}
    return {"terms": terms.number, "income_weight": own[0], "of": whole}


@click.command()
@home_option
@click.argument("name")
def leave(home: Home, name: str) -> None:
    """Cease to be a member of farm NAME.

    A running node takes no new jobs through it within seconds; what it earned there it redeems.
    """
    from p2p_modelex.node.farms import remove_joined

    check_home(home)
    remove_joined(home, name)


@click.command("list")
@home_option
@_json
def list_farms(home: Home, *, as_json: bool) -> None:
    """List the certificates that this home has, and those that its own farms have given."""
    from p2p_modelex.node.farms import list_joined, list_owned

    check_home(home)
    joined = [
        {"role": "member", **_describe(file.membership), "revoked": None}
        for file in list_joined(home)
    ]
    owned = [
        {
            "role": "owner",
            "farm": file.roll.farm,
            "name": file.roll.name,
            "member": one.member,
            "payee": file.roll.payee,
            "index": one.index,
            "weight": one.weight,
            "serial": one.serial,
            "until": Moment(one.not_after // 1000),
            "revoked": one.is_revoked,
        }
        for file in list_owned(home)
        for one in file.roll.admissions
    ]
    print_answer([*joined, *owned], as_json=as_json)


def _describe(membership: "Membership") -> dict[str, Any]:
    told = membership.certificate
    return {
        "farm": format_peer_id(membership.id),
        "name": told.name,
        "member": format_peer_id(peer_id_of(PublicKey(told.member))),
        "payee": format_address(Address(told.payee)),
        "index": told.index,
        "weight": told.weight,
        "serial": told.serial,
        "until": Moment(told.not_after // 1000),
    }


@click.command()
@home_option
@click.argument("farm")
@_json
def find(home: Home, farm: str, *, as_json: bool) -> None:
    """Join the mesh and show a farm, by its name or id: its members, and what they sell.

    Prices are AI for 1,000 tokens. A member is left out once the farm's record says so.
    """
    quiet_log()
    run_trio(_find, home, farm, as_json)


async def _find(home: Home, farm: str, as_json: bool) -> None:
    from p2p_modelex.node.exchange import connect

    async with connect(home.path) as exchange:
        found = await exchange.find_farm(farm)
        epoch = exchange.node.epoch
        rows = [row for one in found.members for row in _show_member(*one, epoch)]
    record = found.record
    age_s = None if record is None else max(0, time.time_ns() // 10**9 - record.sequence // 1000)
    if as_json:
        fields = {"farm": found.id, "record_age_s": age_s, "members": rows}
        print_answer(fields, as_json=True)
        return
    age = "no record" if age_s is None else f"its record is {age_s} s old"
    click.echo(f"{found.id}: {age}")
    print_answer(rows, as_json=False)


def _show_member(entry: "Entry", membership: "Membership", epoch: Epoch) -> list[dict[str, Any]]:
    from p2p_modelex.records.advertisement import move_offer

    offers = [move_offer(offer, epoch) for offer in entry.advertisement.offers]
    return [
        {
            "member": format_peer_id(entry.peer),
            "index": membership.certificate.index,
            "weight": membership.certificate.weight,
            "until": Moment(membership.certificate.not_after // 1000),
            "model": offer.model,
            "prompt": Wei(offer.prompt_price * 1000),
            "completion": Wei(offer.completion_price * 1000),
        }
        for offer in offers
    ]
