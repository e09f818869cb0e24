"""`modelex oracle`: paid questions on chain, and answers signed by providers."""

import secrets
from typing import TYPE_CHECKING

import click

from p2p_modelex.cli.answers import answer, serve, sign, verify
from p2p_modelex.cli.contracts import current, fetch_epoch, reads, sends, show_as_of
from p2p_modelex.cli.kinds import ADDRESS, AMOUNT, DURATION
from p2p_modelex.cli.listing import LIMIT, check_once, tell_earned, withdraw_earned
from p2p_modelex.cli.questions import (
    NOTHING,
    block_option,
    parse_provider,
    question_options,
    read_question,
    request_argument,
    tell_answer,
    tell_ask,
)
from p2p_modelex.cli.showing import Answer, Moment, tell_sent
from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.errors import BadInput, PaymentError
from p2p_modelex.ids import Address, Digest
from p2p_modelex.limits import PAGE_ROWS_MAX
from p2p_modelex.units import UINT128_MAX, Wei

if TYPE_CHECKING:
    from p2p_modelex.chain.contracts.network import Network
    from p2p_modelex.chain.contracts.oracle import OracleHub

CALLBACK_GAS = 200_000


@click.group()
def oracle() -> None:
    """Ask on chain, answer with signed reports, verify them.

    REQUEST is 0x and 64 digits, printed by `ask`. Amounts are AI of the token's current epoch.
    """


for _command in (sign, answer, serve, verify):
    oracle.add_command(_command)


@oracle.command()
@question_options
@click.option(
    "--provider",
    "providers",
    multiple=True,
    required=True,
    metavar="SIGNER[:PAYEE]",
    help="Whose answer counts, and who is paid for it if not the signer; may be repeated.",
)
@click.option("--quorum", type=click.IntRange(1, 32), help="How many must answer. [default: all]")
@click.option(
    "--ceiling", type=AMOUNT, required=True, help="To pay in all, AI: a template's fee included."
)
@click.option("--within", type=DURATION, required=True, help="To be answered, such as 1h.")
@click.option("--text", "is_text", is_flag=True, help="Ask for a text, the same from the quorum.")
@click.option(
    "--band",
    type=click.IntRange(0, UINT128_MAX),
    default=0,
    show_default=True,
    help="How far from the median a score is still paid.",
)
@click.option("--callback", type=ADDRESS, help="The contract whose onAnswer is called.")
@click.option(
    "--callback-gas", type=click.IntRange(0, 1_000_000), default=CALLBACK_GAS, show_default=True
)
@sends
async def ask(
    network: "Network",
    prompt: str | None,
    template: Digest | None,
    parameters: tuple[tuple[str, str], ...],
    providers: tuple[str, ...],
    quorum: int | None,
    ceiling: Wei,
    within: int,
    is_text: bool,
    band: int,
    callback: Address | None,
    callback_gas: int,
) -> Answer:
    """Ask for a score, or with --text for a text, and pay the ceiling.

    A template's fee goes off it first, as it is now and no higher. What is not paid to providers
    is yours to `withdraw`, all of it if nobody answers in time.
    """
    from p2p_modelex.chain.contracts.questions import NOBODY, Kind, Terms, read_ask

    used, content = read_question(prompt, template, parameters)
    asked = tuple(map(parse_provider, providers))
    check_once([each.signer for each in asked], "provider")
    if quorum is not None and quorum > len(asked):
        raise BadInput(
            f"a quorum of {quorum} takes as many providers, not {len(asked)}",
            hint="name more with --provider, or lower --quorum",
        )
    paid = await current(network, ceiling)
    terms = Terms(
        kind=Kind.TEXT if is_text else Kind.SCORE,
        prompt=content,
        providers=asked,
        quorum=quorum or len(asked),
        deadline=(await network.fetch_head()).timestamp + within,
        salt=Digest(secrets.token_bytes(32)),
        band=band,
        template=used,
        fee_ceiling=await _fetch_fee(network, used, paid),
        callback=callback or NOBODY,
        callback_gas=callback_gas if callback else 0,
    )
    sent = await _hub(network).request(terms, paid)
    said = sent.event("Requested")
    for_providers = read_ask(said["ask"]).amount
    return tell_sent(
        sent,
        request=said["id"],
        paid=paid,
        for_providers=for_providers,
        deadline=Moment(terms.deadline),
    )


@oracle.command()
@request_argument
@block_option
@reads
async def show(network: "Network", request: Digest, block: int | None) -> Answer:
    """Show a request, and its answer."""
    hub = _hub(network)
    asked = await hub.find_ask(request, block)
    state = await hub.fetch_request(request)
    is_text = state.completion != NOTHING
    output = await hub.find_output(asked) if is_text else None
    return {
        "request": request,
        "status": state.status.name.lower(),
        **tell_answer(asked.ask, state, output),
        **tell_ask(asked.ask, await fetch_epoch(network)),
        "block": asked.block,
    }


@oracle.command("list")
@click.option("--provider", type=ADDRESS, help="Only what this signer is asked.")
@click.option("--limit", type=click.IntRange(1, PAGE_ROWS_MAX), default=LIMIT, show_default=True)
@reads
async def list_requests(network: "Network", provider: Address | None, limit: int) -> Answer:
    """List the newest requests, newest first."""
    hub = _hub(network)
    asks = await hub.fetch_asks(limit, *await hub.find_range(), provider)
    states = await hub.fetch_requests([asked.id for asked in asks])
    epoch = await fetch_epoch(network)
    return [
        {
            "request": asked.id,
            "block": asked.block,
            "status": state.status.name.lower(),
            "kind": asked.ask.terms.kind.name.lower(),
            "ceiling": show_as_of(asked.ask.amount, epoch),
            "deadline": Moment(asked.ask.terms.deadline),
        }
        for asked, state in zip(asks, states, strict=True)
    ]


@oracle.command()
@request_argument
@block_option
@sends
async def refund(network: "Network", request: Digest, block: int | None) -> Answer:
    """After the deadline, give the requester everything back, to `withdraw`."""
    hub = _hub(network)
    ask = (await hub.find_ask(request, block)).ask
    sent = await hub.refund(ask)
    refunded = show_as_of(ask.amount, await fetch_epoch(network))
    return tell_sent(sent, request=request, refunded=refunded)


@oracle.command()
@question_options
@reads
async def subject(
    network: "Network",
    prompt: str | None,
    template: Digest | None,
    parameters: tuple[tuple[str, str], ...],
) -> Answer:
    """Print what reports on a question are about that nobody asked on chain: for feeds, `sign`."""
    from p2p_modelex.chain.contracts.questions import compute_subject

    used, content = read_question(prompt, template, parameters)
    return {"subject": compute_subject(network.find("oracle"), used, content)}


@oracle.command()
@click.argument("account", type=ADDRESS, required=False)
@reads
async def earned(network: "Network", account: Address | None) -> Answer:
    """Show what ACCOUNT has at the oracle, by answers or refunds; by default the home's."""
    return await tell_earned(_hub(network), account or network.account)


@oracle.command()
@sends
async def withdraw(network: "Network") -> Answer:
    """Take what this account has at the oracle."""
    return await withdraw_earned(_hub(network), network.account)


async def _fetch_fee(network: "Network", template: Digest, paid: Amount) -> Wei:
    """What a template costs now, which its creator may raise before the request is mined.
    PaymentError if it leaves nothing for the providers.
    """
    from p2p_modelex.chain.contracts.prompts import PromptLibrary

    if template == NOTHING:
        return Wei(0)
    fee = await PromptLibrary(network).fetch_fee(template)
    if fee.wei >= paid.wei:
        raise PaymentError(
            f"the fee is {fee}, which leaves the providers nothing of the ceiling",
            hint="raise --ceiling",
        )
    return fee.wei


def _hub(network: "Network") -> "OracleHub":
    from p2p_modelex.chain.contracts.oracle import OracleHub

    return OracleHub(network)
