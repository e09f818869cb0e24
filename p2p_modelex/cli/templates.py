"""`modelex templates`: prompt templates, and the fee for each use."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from p2p_modelex.cli.contracts import current, reads, sends
from p2p_modelex.cli.files import EXISTING_FILE, check_same, read_sha256
from p2p_modelex.cli.kinds import ADDRESS, AMOUNT, DIGEST
from p2p_modelex.cli.listing import (
    ceiling_option,
    check_ceiling,
    tell_earned,
    withdraw_earned,
)
from p2p_modelex.cli.showing import Answer, Moment, fetch_page, page_option, tell_sent
from p2p_modelex.ids import Address, Digest
from p2p_modelex.limits import COMPLETION_TOKENS_MAX
from p2p_modelex.units import Wei

if TYPE_CHECKING:
    from p2p_modelex.chain.contracts.network import Network
    from p2p_modelex.chain.contracts.prompts import PromptLibrary, Template

NOTHING = Digest(bytes(32))


@click.group()
def templates() -> None:
    """Prompt templates: their content's digest on chain, and a fee for each use.

    ID is 0x and 64 digits, printed by `publish`. Amounts are AI of the token's current split epoch.
    """


@templates.command()
@click.argument("file", type=EXISTING_FILE)
@click.option("--fee", type=AMOUNT, default="0", show_default=True, help="For one use, AI.")
@click.option(
    "--max-completion-tokens",
    "tokens",
    type=click.IntRange(1, COMPLETION_TOKENS_MAX),
    required=True,
    help="What a use may ask of a model.",
)
@click.option("--schema", type=EXISTING_FILE, help="The schema of its parameters.")
@click.option("--uri", default="", help="Where the content can be had.")
@click.option("--supersedes", type=DIGEST, help="The version before, of this account.")
@sends
async def publish(
    network: "Network",
    file: Path,
    fee: Wei,
    tokens: int,
    schema: Path | None,
    uri: str,
    supersedes: Digest | None,
) -> Answer:
    """Publish the template in FILE, as a new one or the next version of one."""
    from p2p_modelex.chain.contracts.prompts import TemplateDraft

    draft = TemplateDraft(
        content=read_sha256(file),
        fee=await current(network, fee),
        max_completion_tokens=tokens,
        uri=uri,
        schema=read_sha256(schema) if schema else NOTHING,
        supersedes=supersedes or NOTHING,
    )
    sent = await _library(network).publish(draft)
    template = sent.event("Published")["template"]
    return tell_sent(sent, template=template, content=draft.content, fee=draft.fee)


@templates.command()
@click.argument("template", metavar="ID", type=DIGEST)
@reads
async def show(network: "Network", template: Digest) -> Answer:
    """Show a template, and what a use costs now."""
    found = await _library(network).fetch_template(template)
    return {
        "template": found.id,
        "creator": found.creator,
        "version": found.version,
        "fee": found.fee,
        "max_completion_tokens": found.max_completion_tokens,
        "content": found.content,
        "schema": _or_none(found.schema),
        "uri": found.uri,
        "published_at": Moment(found.published_at),
        "uses": found.uses,
        "deprecated": found.deprecated,
        "supersedes": _or_none(found.supersedes),
        "superseded_by": _or_none(found.superseded_by),
    }


@templates.command("list")
@page_option
@reads
async def list_templates(network: "Network", page: int) -> Answer:
    """List templates, oldest first, and what a use costs now."""
    library = _library(network)
    return await fetch_page(page, await library.fetch_count(), library.fetch_page, _row)


@templates.command()
@click.argument("file", type=EXISTING_FILE)
@click.argument("template", metavar="ID", type=DIGEST)
@reads
async def verify(network: "Network", file: Path, template: Digest) -> Answer:
    """Check that FILE is the content of a template. Exit code 14 if it is not."""
    found = await _library(network).fetch_template(template)
    check_same(file, read_sha256(file), found.content)
    return {"template": found.id, "content": found.content, "verified": True}


@templates.command("set-fee")
@click.argument("template", metavar="ID", type=DIGEST)
@click.argument("fee", type=AMOUNT)
@sends
async def set_fee(network: "Network", template: Digest, fee: Wei) -> Answer:
    """As the creator, change what one use costs."""
    amount = await current(network, fee)
    return tell_sent(
        await _library(network).set_fee(template, amount), template=template, fee=amount
    )


@templates.command()
@click.argument("template", metavar="ID", type=DIGEST)
@sends
async def deprecate(network: "Network", template: Digest) -> Answer:
    """As the creator, advise against a template; it can still be paid for."""
    return tell_sent(await _library(network).deprecate(template), template=template)


@templates.command()
@click.argument("template", metavar="ID", type=DIGEST)
@click.option("--reference", type=DIGEST, help="Yours, 32 bytes, such as a job's.")
@ceiling_option
@sends
async def use(
    network: "Network", template: Digest, reference: Digest | None, ceiling: Wei | None
) -> Answer:
    """Pay for one use."""
    library = _library(network)
    fee = await library.fetch_fee(template)
    check_ceiling(fee, ceiling)
    return tell_sent(
        await library.use(template, fee, reference or NOTHING), template=template, fee=fee
    )


@templates.command()
@click.argument("account", type=ADDRESS, required=False)
@reads
async def earned(network: "Network", account: Address | None) -> Answer:
    """Show what ACCOUNT earned with templates; by default the home's."""
    return await tell_earned(_library(network), account or network.account)


@templates.command()
@sends
async def withdraw(network: "Network") -> Answer:
    """Take what this account earned with templates."""
    return await withdraw_earned(_library(network), network.account)


def _library(network: "Network") -> "PromptLibrary":
    from p2p_modelex.chain.contracts.prompts import PromptLibrary

    return PromptLibrary(network)


def _or_none(digest: Digest) -> Digest | None:
    return None if digest == NOTHING else digest


def _row(template: "Template") -> dict[str, object]:
    return {
        "template": template.id,
        "version": template.version,
        "fee": template.fee,
        "uses": template.uses,
        "deprecated": template.deprecated,
        "uri": template.uri,
    }
