"""The half of `modelex oracle` that answers: sign, answer, serve, verify."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from p2p_modelex.cli.contracts import current, fetch_epoch, reads, sends, serves, show_as_of
from p2p_modelex.cli.files import EXISTING_FILE, read_sha256, read_small
from p2p_modelex.cli.kinds import ADDRESS, AMOUNT, DIGEST
from p2p_modelex.cli.questions import block_option, request_argument
from p2p_modelex.cli.reports import out_option, read_report, read_reports, tell_report, write_report
from p2p_modelex.cli.showing import Answer, Fields, tell_sent
from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.errors import BadInput, VerificationFailed
from p2p_modelex.ids import Address, Digest
from p2p_modelex.limits import COMPLETION_TOKENS_MAX, PROMPT_BYTES
from p2p_modelex.node.home import Home
from p2p_modelex.units import Wei

if TYPE_CHECKING:
    from p2p_modelex.chain.contracts.network import Network
    from p2p_modelex.chain.contracts.oracle import OracleHub
    from p2p_modelex.chain.contracts.questions import Ask
    from p2p_modelex.node.answering import Outcome

_score = click.option("--score", type=int, help="The answer, a whole number of the asker's units.")
_text = click.option("--text-file", type=EXISTING_FILE, help="The answer, a text.")
_price = click.option("--price", type=AMOUNT, help="AI. [default: an equal share of the ceiling]")


@click.command()
@click.argument("subject", metavar="SUBJECT", type=DIGEST)
@_score
@_text
@_price
@block_option
@out_option
@sends
async def sign(
    network: "Network",
    subject: Digest,
    score: int | None,
    text_file: Path | None,
    price: Wei | None,
    block: int | None,
    out: Path,
) -> Answer:
    """Sign a report on SUBJECT, a request or what `subject` printed; nothing is sent.

    The price is a request's equal share unless another is given; where nobody asked, nothing.
    """
    ask = await _find_ask(network, subject, block)
    if ask is not None:
        ask.find_place(network.account)
    wanted = await _find_price(network, price, ask)
    output = _read_output(score, text_file)
    signed = await _hub(network).sign(subject, output, wanted)
    write_report(network, signed, out)
    return {"report": str(out), **await tell_report(network, signed)}


@click.command()
@request_argument
@_score
@_text
@_price
@click.option(
    "--report",
    "reports",
    multiple=True,
    type=EXISTING_FILE,
    help="Bring this report in place of signing one; may be repeated.",
)
@block_option
@sends
async def answer(
    network: "Network",
    request: Digest,
    score: int | None,
    text_file: Path | None,
    price: Wei | None,
    reports: tuple[Path, ...],
    block: int | None,
) -> Answer:
    """Answer REQUEST as one of its providers, or bring reports that were signed before.

    A text comes with the reports of the whole quorum at once, and with --text-file.
    """
    hub = _hub(network)
    ask = (await hub.find_ask(request, block)).ask
    if reports:
        if score is not None or price is not None:
            raise BadInput("reports have their score and price", hint="leave --score, --price out")
        output: int | bytes = _read_text(text_file) if text_file else b""
        signed = read_reports(network, reports)
    else:
        output = _read_output(score, text_file)
        wanted = await _find_price(network, price, ask)
        signed = [await hub.sign(request, output, wanted)]
    sent = await hub.answer(ask, signed, output if isinstance(output, bytes) else b"")
    names = [event.name for event in sent.events]
    said = sent.event("Answered") if "Answered" in names else None
    paid = None
    if said is not None:
        paid = show_as_of(Amount(Wei(said["paid"]), ask.amount.epoch), await fetch_epoch(network))
    return tell_sent(
        sent,
        request=request,
        status="open" if said is None else "answered",
        score=None if said is None or text_file else str(said["score"]),
        paid=paid,
        outliers=names.count("Outlier"),
        callback_failed="CallbackFailed" in names,
    )


@click.command()
@click.option("--model", required=True, help="A model of the home; `modelex models list`.")
@click.option(
    "--template",
    "templates",
    multiple=True,
    type=EXISTING_FILE,
    help="The content of a template to serve; may be repeated.",
)
@click.option(
    "--least",
    type=AMOUNT,
    required=True,
    help="That an answer must bring: more than its gas is worth.",
)
@click.option(
    "--gas-max",
    type=click.IntRange(min=1),
    default=1_000_000,
    show_default=True,
    help="Leave what may take more: a long prompt, a callback with much gas.",
)
@click.option(
    "--max-tokens",
    type=click.IntRange(1, COMPLETION_TOKENS_MAX),
    default=128,
    show_default=True,
    help="Longest text to answer with.",
)
@click.option("--once", is_flag=True, help="Answer what is open and end.")
@serves
async def serve(
    network: "Network",
    home: Home,
    model: str,
    templates: tuple[Path, ...],
    least: Wei,
    gas_max: int,
    max_tokens: int,
    *,
    once: bool,
) -> AsyncGenerator[Answer, None]:
    """Answer what this account is asked, by a model of the home, for an equal share each.

    Scores are what the model says, texts are served where one provider is enough. It may run beside
    the home's node. Until Ctrl-C.
    """
    from p2p_modelex.chain.evm.port import CONFIRMATIONS, DEVNET_CHAIN_ID
    from p2p_modelex.node.answering import Answering, Service
    from p2p_modelex.node.assembly import open_configured_engine
    from p2p_modelex.node.model_settings import ModelSettings

    contents = {read_sha256(path): _read_text(path) for path in templates}
    is_devnet = network.deployment.chain_id == DEVNET_CHAIN_ID
    async with open_configured_engine(home, ModelSettings(model=model)) as engine:
        answering = Answering(
            _hub(network),
            engine,
            Service(contents, least, max_tokens, gas_max),
            confirmations=0 if is_devnet else CONFIRMATIONS,
        )
        async with aclosing(answering.run_once() if once else answering.run()) as outcomes:
            async for outcome in outcomes:
                yield _tell_outcome(outcome)


@click.command()
@click.argument("report", type=EXISTING_FILE)
@click.option("--signer", type=ADDRESS, help="It must be signed by this account.")
@click.option("--subject", type=DIGEST, help="It must be about this.")
@reads
async def verify(
    network: "Network", report: Path, signer: Address | None, subject: Digest | None
) -> Answer:
    """Check a report's signature as the contracts do. Exit code 14 if it is not good."""
    signed = read_report(network, report)
    if signer not in (None, signed.signer):
        raise _bad(report, f"is by 0x{signed.signer.hex()}")
    if subject not in (None, signed.report.subject):
        raise _bad(report, f"is about 0x{signed.report.subject.hex()}")
    if not await _hub(network).verify(signed):
        raise _bad(report, f"is not signed by 0x{signed.signer.hex()}")
    return {"verified": True, **await tell_report(network, signed)}


def _tell_outcome(outcome: "Outcome") -> Fields:
    return {
        "request": outcome.request,
        "answered": outcome.output is not None,
        "output": None if outcome.output is None else str(outcome.output),
        "final": outcome.is_final,
        "reason": outcome.reason or None,
    }


def _bad(report: Path, why: str) -> VerificationFailed:
    return VerificationFailed(f"{report} {why}", hint="ask its provider to sign another")


def _read_output(score: int | None, text_file: Path | None) -> int | bytes:
    """Return the score or the text of an answer."""
    if (score is None) == (text_file is None):
        raise BadInput("an answer is a --score or a --text-file", hint="give one of the two")
    return (score or 0) if text_file is None else _read_text(text_file)


def _read_text(path: Path) -> bytes:
    return read_small(path, PROMPT_BYTES)


async def _find_ask(network: "Network", subject: Digest, block: int | None) -> "Ask | None":
    """Return what was asked; None if nobody did."""
    from p2p_modelex.chain.contracts.oracle import Status

    hub = _hub(network)
    if (await hub.fetch_request(subject)).status is Status.NONE:
        return None
    return (await hub.find_ask(subject, block)).ask


async def _find_price(network: "Network", price: Wei | None, ask: "Ask | None") -> Amount:
    """Return what a report asks: the share, or the user's price, of which no more is paid."""
    if price is None:
        return await current(network, Wei(0)) if ask is None else ask.share
    wanted = await current(network, price)
    share = None if ask is None else show_as_of(ask.share, wanted.epoch)
    if share is not None and share.wei < wanted.wei:
        click.echo(f"{share} will be paid, an equal share, not {wanted}", err=True)
    return wanted


def _hub(network: "Network") -> "OracleHub":
    from p2p_modelex.chain.contracts.oracle import OracleHub

    return OracleHub(network)
