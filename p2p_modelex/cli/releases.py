"""`modelex releases`: which weights a model's name stands for."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from p2p_modelex.cli.contracts import reads, sends
from p2p_modelex.cli.files import EXISTING_FILE, check_same, read_sha256, read_size
from p2p_modelex.cli.kinds import ADDRESS
from p2p_modelex.cli.showing import Answer, Moment, fetch_page, page_option, tell_sent
from p2p_modelex.errors import BadInput
from p2p_modelex.ids import Address

if TYPE_CHECKING:
    from p2p_modelex.chain.contracts.network import Network
    from p2p_modelex.chain.contracts.releases import ModelReleases, Release


_NAME = re.compile(r"[a-z0-9._/-]{1,64}")  # IModelReleases.InvalidName


def read_name(text: str) -> str:
    """Return the name of a model; BadInput if it cannot be one."""
    if _NAME.fullmatch(text) is None:
        raise BadInput(
            f"not a release's name: {text[:80]!r}",
            hint="a name has 1 to 64 of a-z, 0-9, `.`, `-`, `_` and `/`",
        )
    return text


_name = click.argument("name", type=read_name)


@click.group()
def releases() -> None:
    """Releases of models: name, version, and the SHA-256 of the weights.

    A name belongs to who first publishes under it. Compare the publisher with the account that the
    model's makers state elsewhere.
    """


@releases.command()
@click.argument("file", type=EXISTING_FILE)
@_name
@click.argument("version")
@click.option("--licence", required=True, help="SPDX identifier, such as Apache-2.0.")
@click.option("--uri", default="", help="Where the weights can be had.")
@sends
async def publish(
    network: "Network", file: Path, name: str, version: str, licence: str, uri: str
) -> Answer:
    """Publish the weights in FILE as VERSION of NAME; it supersedes all versions before."""
    from p2p_modelex.chain.contracts.releases import ReleaseDraft

    draft = ReleaseDraft(version, read_sha256(file), read_size(file), uri, licence)
    sent = await _releases(network).publish(name, draft)
    ordinal = sent.event("Published")["ordinal"]
    return tell_sent(
        sent, name=name, version=version, ordinal=ordinal, weights=draft.weights, size=draft.size
    )


@releases.command()
@_name
@click.argument("version", required=False)
@reads
async def show(network: "Network", name: str, version: str | None) -> Answer:
    """Show VERSION of NAME, or the latest that is not revoked."""
    contract = _releases(network)
    if version is None:
        release = await contract.fetch_latest(name)
    else:
        release = await contract.fetch_release(name, version)
    return {"name": name, "publisher": await contract.fetch_publisher(name), **_row(release)}


@releases.command()
@_name
@page_option
@reads
async def history(network: "Network", name: str, page: int) -> Answer:
    """List the releases of NAME, oldest first, revoked ones included."""
    contract = _releases(network)
    total = await contract.fetch_release_count(name)
    return await fetch_page(
        page, total, lambda at, limit: contract.fetch_releases(name, at, limit), _row
    )


@releases.command("list")
@page_option
@reads
async def list_names(network: "Network", page: int) -> Answer:
    """List names, oldest first."""
    contract = _releases(network)
    total = await contract.fetch_name_count()
    return await fetch_page(page, total, contract.fetch_names, lambda name: {"name": name})


@releases.command()
@click.argument("file", type=EXISTING_FILE)
@_name
@click.argument("version")
@reads
async def verify(network: "Network", file: Path, name: str, version: str) -> Answer:
    """Check that FILE has the weights of VERSION of NAME. Exit code 14 if it has not, or if the
    release is revoked.
    """
    from p2p_modelex.errors import VerificationFailed

    release = await _releases(network).fetch_release(name, version)
    check_same(file, read_sha256(file), release.draft.weights)
    if release.revoked:
        raise VerificationFailed(
            f"{file} is {name} {version}, which its publisher revoked",
            hint=f"modelex releases show {name}",
        )
    return {"name": name, **_row(release), "verified": True}


@releases.command()
@_name
@click.argument("version")
@click.option("--reason", required=True, help="Why nobody should load it.")
@sends
async def revoke(network: "Network", name: str, version: str, reason: str) -> Answer:
    """As the publisher, say that nobody should load VERSION of NAME."""
    sent = await _releases(network).revoke(name, version, reason)
    return tell_sent(sent, name=name, version=version, reason=reason)


@releases.group()
def handover() -> None:
    """Hand a name over in two steps."""


@handover.command("offer")
@_name
@click.argument("successor", type=ADDRESS)
@sends
async def offer_handover(network: "Network", name: str, successor: Address) -> Answer:
    """As the publisher, offer NAME; the zero account takes the offer back."""
    sent = await _releases(network).offer_handover(name, successor)
    return tell_sent(sent, name=name, offered_to=successor)


@handover.command("accept")
@_name
@sends
async def accept_handover(network: "Network", name: str) -> Answer:
    """Take over NAME, which was offered to this account."""
    sent = await _releases(network).accept_handover(name)
    return tell_sent(sent, name=name, publisher=network.account)


def _releases(network: "Network") -> "ModelReleases":
    from p2p_modelex.chain.contracts.releases import ModelReleases

    return ModelReleases(network)


def _row(release: "Release") -> dict[str, object]:
    return {
        "version": release.draft.version,
        "weights": release.draft.weights,
        "size": release.draft.size,
        "licence": release.draft.licence,
        "uri": release.draft.uri,
        "published_at": Moment(release.published_at),
        "revoked": release.revoked,
    }
