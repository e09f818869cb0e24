"""`modelex registry`: entries of nodes, the whitelisted section, and who may admit to it."""

from typing import TYPE_CHECKING, Any

import click

from p2p_modelex.cli.contracts import reads, sends
from p2p_modelex.cli.kinds import ADDRESS, DIGEST, PEER
from p2p_modelex.cli.showing import Answer, Fields, Moment, fetch_page, page_option, tell_sent
from p2p_modelex.errors import BadInput
from p2p_modelex.ids import (
    Address,
    Digest,
    PublicKey,
    format_address,
    format_peer_id,
    peer_id_of,
)

if TYPE_CHECKING:
    from p2p_modelex.chain.contracts.network import Network
    from p2p_modelex.chain.contracts.registry import Move, Registration, Registry, Role

SECTIONS = ("public", "whitelisted", "suspended")
ROLES = ("admin", "authoriser")

_peer = click.argument("peer", type=PEER, required=False)
_peer_option = click.option("--peer", type=PEER, metavar="PEER", help="[default: the home's]")


@click.group()
def registry() -> None:
    """Entries of nodes, the whitelisted section, and who may admit to it.

    PEER is by default the home's. An entry belongs to a peer and its operator, since anyone may
    claim any peer, under their own account only.
    """


@registry.command()
@_peer
@click.option("--digest", type=DIGEST, help="Of what the advertisement says (ANC-1).")
@click.option("--sequence", type=click.IntRange(0, 2**64 - 1), help="The advertisement's.")
@click.option("--uri", default="", help="Where a registration file is; at most 256 bytes.")
@sends
async def register(
    network: "Network", peer: PublicKey, digest: Digest | None, sequence: int | None, uri: str
) -> Answer:
    """Make this account's entry for a peer. Without --digest it anchors no advertisement, which
    `modelex nodes` shows as no anchor; a running node of this account anchors its own.
    """
    if (digest is None) != (sequence is None):
        raise BadInput("--digest and --sequence are of one advertisement: give both or neither")
    anchored = digest or Digest(bytes(32))
    sent = await _registry(network).register(peer, anchored, sequence or 0, uri)
    return tell_sent(sent, peer=_name(peer), operator=network.account)


@registry.command()
@_peer
@click.option("--digest", type=DIGEST, required=True)
@click.option("--sequence", type=click.IntRange(0, 2**64 - 1), required=True)
@sends
async def update(network: "Network", peer: PublicKey, digest: Digest, sequence: int) -> Answer:
    """Anchor a newer advertisement in this account's entry."""
    sent = await _registry(network).update(peer, digest, sequence)
    return tell_sent(sent, peer=_name(peer), sequence=sequence)


@registry.command()
@_peer
@click.argument("uri")
@sends
async def uri(network: "Network", peer: PublicKey, uri: str) -> Answer:
    """Say where the entry's registration file is (ERC-8004); at most 256 bytes, "" for nowhere."""
    sent = await _registry(network).set_uri(peer, network.account, uri)
    return tell_sent(sent, peer=_name(peer), uri=uri)


@registry.command()
@_peer
@click.option("--operator", type=ADDRESS, metavar="ACCOUNT", help="[default: the home's]")
@reads
async def show(network: "Network", peer: PublicKey, operator: Address | None) -> Answer:
    """Show the entry of a peer and its operator."""
    owner = operator or network.account
    entry = await _registry(network).fetch_entry(peer, owner)
    if entry is None:
        raise BadInput(
            f"0x{owner.hex()} has no entry for {_name(peer)}",
            hint="`modelex registry list` shows all; `modelex registry register` makes one",
        )
    return _describe(entry)


@registry.command("list")
@click.option("--section", type=click.Choice(SECTIONS), help="[default: all]")
@page_option
@reads
async def list_(network: "Network", section: str | None, page: int) -> Answer:
    """List entries: the whitelisted, then the suspended, then the public ones."""
    from p2p_modelex.records.registry import RegistrySection

    registry = _registry(network)
    chosen = RegistrySection[section.upper()] if section else None
    total = await registry.fetch_count(chosen)
    return await fetch_page(
        page, total, lambda at, limit: registry.fetch_entries(at, limit, chosen), _describe
    )


@registry.command()
@_peer
@sends
async def leave(network: "Network", peer: PublicKey) -> Answer:
    """Remove this account's entry."""
    return tell_sent(await _registry(network).leave(peer), peer=_name(peer))


@registry.group()
def handover() -> None:
    """Give an entry to another account in two steps; it starts anew in the public section."""


@handover.command()
@click.argument("successor", type=ADDRESS)
@_peer_option
@sends
async def offer(network: "Network", successor: Address, peer: PublicKey) -> Answer:
    """Offer this account's entry to SUCCESSOR; the zero account takes an offer back."""
    sent = await _registry(network).offer_handover(peer, successor)
    return tell_sent(sent, peer=_name(peer), offered_to=successor)


@handover.command()
@click.argument("operator", type=ADDRESS)
@_peer_option
@sends
async def accept(network: "Network", operator: Address, peer: PublicKey) -> Answer:
    """Take over the entry that OPERATOR offered to this account."""
    sent = await _registry(network).accept_handover(peer, operator)
    return tell_sent(sent, peer=_name(peer), operator=network.account)


def _add_move(move: "Move", section: str, meaning: str) -> None:
    """Add the command of an authoriser's `move`, after which the entry is in `section`."""

    @registry.command(move, help=f"As an authoriser, {meaning}.")
    @click.argument("peer", type=PEER)
    @click.argument("operator", type=ADDRESS)
    @click.option("--reason", required=True, help="For everybody to read; at most 256 bytes.")
    @sends
    async def _(network: "Network", peer: PublicKey, operator: Address, reason: str) -> Answer:
        sent = await _registry(network).move(move, peer, operator, reason)
        return tell_sent(sent, peer=_name(peer), section=section)


_add_move("admit", "whitelisted", "move a public entry to the whitelisted section")
_add_move("suspend", "suspended", "suspend a whitelisted entry")
_add_move("lift", "whitelisted", "end a suspension")
_add_move("remove", "public", "move an entry back to the public section")


@registry.group()
def roles() -> None:
    """Who may admit (authoriser), and who may give and take that (admin)."""


@roles.command("show")
@click.argument("account", type=ADDRESS, required=False)
@reads
async def show_roles(network: "Network", account: Address | None) -> Answer:
    """Show which roles ACCOUNT has; by default the home's."""
    registry, holder = _registry(network), account or network.account
    held: dict[str, Any] = {
        role: await registry.has_role(_role(role), holder) for role in reversed(ROLES)
    }
    return {"account": holder, **held}


@roles.command()
@click.argument("role", type=click.Choice(ROLES))
@click.argument("account", type=ADDRESS)
@sends
async def grant(network: "Network", role: str, account: Address) -> Answer:
    """As an admin, give ACCOUNT a role: a person, a TimelockController, a Governor."""
    sent = await _registry(network).grant_role(_role(role), account)
    return tell_sent(sent, role=role, account=account)


@roles.command()
@click.argument("role", type=click.Choice(ROLES))
@click.argument("account", type=ADDRESS)
@sends
async def revoke(network: "Network", role: str, account: Address) -> Answer:
    """As an admin, take a role from ACCOUNT."""
    sent = await _registry(network).revoke_role(_role(role), account)
    return tell_sent(sent, role=role, account=account)


@roles.command()
@click.argument("role", type=click.Choice(ROLES))
@sends
async def renounce(network: "Network", role: str) -> Answer:
    """Give up a role of this account; nobody may be left who can give it back."""
    registry = _registry(network)
    if not await registry.has_role(_role(role), network.account):
        raise BadInput(
            f"{format_address(network.account)} has not the role {role}",
            hint="`modelex registry roles show` says which it has",
        )
    return tell_sent(await registry.renounce_role(_role(role)), role=role)


def _registry(network: "Network") -> "Registry":
    from p2p_modelex.chain.contracts.registry import Registry

    return Registry(network)


def _role(name: str) -> "Role":
    from p2p_modelex.chain.contracts.registry import Role

    return Role[name.upper()]


def _name(peer: PublicKey) -> str:
    return format_peer_id(peer_id_of(peer))


def _describe(entry: "Registration") -> Fields:
    return {
        "peer": _name(entry.peer),
        "operator": entry.operator,
        "section": entry.section.name.lower(),
        "sequence": entry.sequence,
        "digest": entry.digest,
        "registered": Moment(entry.registered_at),
        "updated": Moment(entry.updated_at),
        "uri": entry.uri,
    }
