"""`modelex run`."""

import json
import signal
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import trio

from p2p_modelex import limits
from p2p_modelex.cli.asking import farm_option, request_options
from p2p_modelex.cli.common import home_option, quiet_log, run_trio
from p2p_modelex.cli.outcome import print_logprobs, print_outcome
from p2p_modelex.cli.text import printable
from p2p_modelex.core.effects import RunRestarted, RunText
from p2p_modelex.errors import BadInput, JobFailed, StoreError
from p2p_modelex.ids import format_peer_id
from p2p_modelex.node.home import Home, receipt_path, write_receipt
from p2p_modelex.records.advertisement import Kind
from p2p_modelex.records.embedding import decode_vector
from p2p_modelex.records.job import Request
from p2p_modelex.records.registry import SECTIONS
from p2p_modelex.records.tools import decode_tools, encode_tools
from p2p_modelex.units import Epoch, format_ai, parse_ai, rescale

if TYPE_CHECKING:
    from p2p_modelex.node.exchange import Completion, Terms


RATED_TOKENS_MIN = 3


@dataclass(frozen=True)
class _Asked:
    request: Request
    terms: "Terms"
    peer: str | None
    save: Path | None
    profile: str | None
    as_json: bool


@click.command()
@home_option
@click.argument("prompt")
@request_options
@click.option(
    "--temperature",
    type=click.FloatRange(0, 2),
    default=0.0,
    show_default=True,
    help="0 always takes the likeliest token.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=0,
    show_default=True,
    help="Makes sampling repeatable on the same engine.",
)
@click.option(
    "--grammar",
    "grammar_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with a GBNF grammar or a JSON schema that the completion is to follow.",
)
@click.option(
    "--tools",
    "tools_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with a JSON list of tools that a chat may call, as in OpenAI's API.",
)
@click.option(
    "--logprobs",
    type=click.IntRange(0, limits.TOP_LOGPROBS_MAX),
    help="Say how probable each token was, and so many others in its place.",
)
@click.option("--max-price", help="Most to pay for the whole job, in AI.")
@click.option("--peer", help="Buy from this peer: a multiaddr ending in /p2p/PEER, or a peer id.")
@click.option(
    "--section",
    type=click.Choice(list(SECTIONS)),
    help="Whom to buy from, by the registry on chain; `all` is the suspended too. "
    "[default: section in [requester]]",
)
@farm_option
@click.option("--quote", is_flag=True, help="Ask for a signed quote before ordering.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, at the end.")
@click.option("--profile", help="Routing profile. [default: profile in [requester]]")
@click.option(
    "--timeout",
    type=click.FloatRange(0.001, 86_400),
    help="Seconds to wait for the whole answer; what came by then is printed and paid.",
)
@click.option(
    "--hedge/--no-hedge",
    default=None,
    help="Order elsewhere too where the first word is late, and take who is sooner; costs a "
    "prompt more. [default: as the profile says]",
)
@click.option(
    "--continue",
    "may_continue",
    is_flag=True,
    help="If a provider fails in the middle, let another go on from there instead of beginning "
    "again; the receipt is of the rest.",
)
@click.option(
    "--receipt",
    "save",
    type=click.Path(dir_okay=False, path_type=Path),
    help=("Write the receipt file here. [default: receipts/ in the home]"),
)
def run(
    home: Home,
    prompt: str,
    model: str,
    kind: Kind,
    max_tokens: int,
    temperature: float,
    seed: int,
    grammar_file: Path | None,
    tools_file: Path | None,
    logprobs: int | None,
    max_price: str | None,
    peer: str | None,
    section: str | None,
    farm: str,
    save: Path | None,
    *,
    quote: bool,
    as_json: bool,
    profile: str | None,
    timeout: float | None,
    hedge: bool | None,
    may_continue: bool,
) -> None:
    """Run PROMPT ("-" reads standard input) on the mesh; the completion goes to standard output.

    One line about provider, tokens, price and receipt goes to standard error.
    """
    from p2p_modelex.node.exchange import Terms, build_request, parse_peer

    text = sys.stdin.read() if prompt == "-" else prompt
    if not text.strip():
        raise BadInput("the prompt is empty")
    request = build_request(
        text,
        model=model,
        kind=kind,
        max_tokens=1 if kind == "embedding" else max_tokens,
        temperature=temperature,
        seed=seed,
        grammar=_read_file(grammar_file, limits.GRAMMAR_BYTES) if grammar_file else "",
        tools=_read_tools(tools_file) if tools_file else "",
        logprobs=logprobs,
    )
    if peer is not None:
        parse_peer(peer)
    terms = Terms(
        max_cost=parse_ai(max_price) if max_price else None,
        is_fast=not quote,
        section=section,
        farm=farm,
        hedge=hedge,
        timeout_s=timeout,
        may_continue=may_continue,
    )
    quiet_log()
    asked = _Asked(request, terms, peer, save, profile, as_json)
    if not run_trio(_run, home, asked):
        raise KeyboardInterrupt


def _read_file(file: Path, limit: int) -> str:
    """Return the file's text, one character over the limit at most: the request's bounds tell."""
    try:
        with file.open(encoding="utf-8") as opened:
            return opened.read(limit + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot read {file}: {error}") from error


def _read_tools(file: Path) -> str:
    text = _read_file(file, limits.TOOLS_BYTES)
    try:
        return encode_tools(decode_tools(f'{{"tools":{text}}}'))
    except BadInput as error:
        hint = 'a list of {"type": "function", "function": {"name": ...}}'
        raise BadInput(f"{file}: {error.message}", hint=hint) from error


async def _run(home: Home, asked: _Asked) -> bool:
    """Run it to its end; False if Ctrl-C ended it."""
    from p2p_modelex.node.exchange import connect, parse_peer

    peer, address = parse_peer(asked.peer) if asked.peer else (None, None)
    only = (peer,) if peer else ()
    via, failed = asked.peer if address else None, None
    async with connect(home.path, via=via, profile=asked.profile) as exchange:
        completion = exchange.request(asked.request, replace(asked.terms, only=only))
        watch = _Watch()
        async with trio.open_nursery() as nursery:
            await nursery.start(_cancel_at_signal, completion, watch)
            try:
                await _stream(completion, watch, asked)
            except JobFailed as error:
                # Cancelled before anything came, there is no receipt, and nothing was paid; if its
                # time was up there is.
                if not watch.is_interrupted:
                    failed = error
            nursery.cancel_scope.cancel()
        epoch = exchange.node.epoch
    if completion.row is not None:
        path = asked.save or receipt_path(home.receipts, completion.row)
        if completion.logprobs and not asked.as_json:
            print_logprobs(completion.logprobs)
        _report(completion, watch, path, epoch)
        if asked.as_json:
            print_outcome(completion, path)
    if failed is not None:
        raise failed
    return not watch.is_interrupted


@dataclass
class _Watch:
    """When things happened, in seconds of the monotonic clock."""

    began: float = field(default_factory=time.monotonic)
    first: float | None = None
    ended: float = 0.0
    is_interrupted: bool = False


async def _cancel_at_signal(
    completion: "Completion", watch: _Watch, task_status: Any = trio.TASK_STATUS_IGNORED
) -> None:
    """Ctrl-C cancels the job and pays what came; a second one stops at once."""
    with trio.open_signal_receiver(signal.SIGINT) as signals:
        task_status.started()
        async for _ in signals:
            if watch.is_interrupted:
                raise KeyboardInterrupt
            watch.is_interrupted = True
            await completion.cancel()


async def _stream(completion: "Completion", watch: _Watch, asked: _Asked) -> None:
    is_vector = asked.request.kind == "embedding"
    async for piece in completion:
        if not isinstance(piece, RunText):
            why = printable(f"{piece.why.code}: {piece.why.reason}")
            begins = isinstance(piece, RunRestarted)
            what = "begins again at another node" if begins else "another node goes on"
            click.echo(f"\n[{why}; {what}]", err=True)
            continue
        watch.first = watch.first or time.monotonic()
        if not is_vector and not asked.as_json:
            click.echo(printable(piece.text), nl=False)
    watch.ended = time.monotonic()
    if asked.as_json:
        return
    is_whole = is_vector and not watch.is_interrupted
    click.echo(json.dumps(decode_vector(completion.text)) if is_whole else "")


def _report(completion: "Completion", watch: _Watch, path: Path, epoch: Epoch) -> None:
    """Write the receipt and print the one line: who, how much, how fast, for what, and proof.

    epoch: the token's split epoch, in which the cost is told.
    """
    row = completion.row
    assert row is not None
    try:
        write_receipt(path, row)
    except OSError as error:
        raise StoreError(
            f"cannot write the receipt to {path}: {error.strerror}",
            hint="the job is paid and its receipt is kept in the home's database",
        ) from error
    receipt = row.receipt.receipt
    paid = rescale(completion.paid, receipt.epoch, epoch)
    first = watch.first or watch.ended
    tokens = receipt.completion_tokens
    rate = tokens / max(watch.ended - first, 1e-3)
    # The first token's time is not in it, so that of one or two means nothing.
    speed = f", {rate:.1f}/s" if tokens >= RATED_TOKENS_MIN else ""
    click.echo(
        f"{format_peer_id(row.peer)} · {receipt.prompt_tokens}+{tokens} tokens{speed}, "
        f"first after {(first - watch.began) * 1000:.0f} ms · "
        f"{format_ai(paid, epoch)} · receipt verified: {path}",
        err=True,
    )
