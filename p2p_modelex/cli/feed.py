"""`modelex feed`: score feeds, read like a price and kept up to date by a quorum."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from p2p_modelex.cli.contracts import current, reads, sends
from p2p_modelex.cli.kinds import ADDRESS, DIGEST, DURATION
from p2p_modelex.cli.listing import LIMIT, check_once
from p2p_modelex.cli.reports import (
    out_option,
    read_reports,
    reports_argument,
    tell_report,
    write_report,
)
from p2p_modelex.cli.showing import Answer, Moment, tell_sent
from p2p_modelex.errors import BadInput
from p2p_modelex.ids import Address, Digest, format_address
from p2p_modelex.limits import PAGE_ROWS_MAX
from p2p_modelex.units import Wei

if TYPE_CHECKING:
    from p2p_modelex.chain.contracts.feed import Round, ScoreFeed
    from p2p_modelex.chain.contracts.network import Network

DECIMALS_MAX = 18
# 2^127 has 39 digits.
_SCORE = re.compile(r"(-?)([0-9]{1,39})(?:\.([0-9]{1,18}))?")

_feed = click.argument("address", metavar="FEED", type=ADDRESS)
_signers = click.option(
    "--signer", "signers", type=ADDRESS, multiple=True, required=True, help="May report."
)
_quorum = click.option("--quorum", type=click.IntRange(1, 255), required=True, help="Must report.")


@click.group()
def feed() -> None:
    """Score feeds: deploy, read, sign reports, bring them. FEED is the contract's address."""


@feed.command()
@click.option("--subject", type=DIGEST, required=True, help="`modelex oracle subject` has it.")
@click.option("--description", required=True)
@click.option("--decimals", type=click.IntRange(0, DECIMALS_MAX), default=2, show_default=True)
@click.option("--heartbeat", type=DURATION, required=True, help="A round is due, such as 1h.")
@click.option("--deviation", required=True, help="Makes a round due before, such as 0.05.")
@_signers
@_quorum
@click.option("--owner", type=ADDRESS, help="Who changes signers. [default: this account]")
@sends
async def deploy(
    network: "Network",
    subject: Digest,
    description: str,
    decimals: int,
    heartbeat: int,
    deviation: str,
    signers: tuple[Address, ...],
    quorum: int,
    owner: Address | None,
) -> Answer:
    """Deploy a feed. All but its signers is for ever."""
    from p2p_modelex.chain.contracts.feed import ScoreFeed, Settings

    moved = parse_score(deviation, decimals)
    if moved < 0:
        raise BadInput("a deviation is not negative")
    check_once(signers, "signer")
    settings = Settings(subject, description, decimals, heartbeat, moved)
    made, sent = await ScoreFeed.establish(
        network, settings, signers, quorum, owner or network.account
    )
    return tell_sent(sent, feed=made.address)


@feed.command()
@_feed
@reads
async def show(network: "Network", address: Address) -> Answer:
    """Show a feed's score, its age, and whether it is stale."""
    feed = _open(network, address)
    state = await feed.fetch_state()
    owner, offered_to = await feed.fetch_owner()
    settings, latest = state.settings, state.latest
    return {
        "feed": address,
        "description": settings.description,
        "state": "empty" if latest is None else "stale" if state.is_stale else "fresh",
        "answer": None if latest is None else format_score(latest.answer, settings.decimals),
        "age_s": None if latest is None else state.now - latest.updated_at,
        "round": None if latest is None else latest.number,
        "decimals": settings.decimals,
        "heartbeat_s": settings.heartbeat_s,
        "deviation": format_score(settings.deviation, settings.decimals),
        "subject": settings.subject,
        "quorum": state.quorum,
        "signers": ["0x" + signer.hex() for signer in state.signers],
        "owner": owner,
        "offered_to": offered_to,
    }


@feed.command()
@_feed
@click.option("--limit", type=click.IntRange(1, PAGE_ROWS_MAX), default=LIMIT, show_default=True)
@reads
async def rounds(network: "Network", address: Address, limit: int) -> Answer:
    """List the last rounds, newest first."""
    feed = _open(network, address)
    decimals = (await feed.fetch_state()).settings.decimals
    return [_row(each, decimals) for each in await feed.fetch_rounds(limit)]


@feed.command()
@_feed
@click.option("--score", required=True, help="Such as 0.42, in the feed's decimals.")
@out_option
@sends
async def sign(network: "Network", address: Address, score: str, out: Path) -> Answer:
    """Sign a report of this moment's score, as one of the feed's signers; nothing is sent."""
    from p2p_modelex.chain.contracts.oracle import OracleHub

    state = await _open(network, address).fetch_state()
    if network.account not in state.signers:
        raise BadInput(
            f"{format_address(network.account)} is none of the feed's signers",
            hint="`modelex feed show` lists them",
        )
    settings = state.settings
    units = parse_score(score, settings.decimals)
    free = await current(network, Wei(0))
    signed = await OracleHub(network).sign(settings.subject, units, free)
    write_report(network, signed, out)
    return {"report": str(out), **await tell_report(network, signed)}


@feed.command()
@_feed
@reports_argument
@sends
async def submit(network: "Network", address: Address, reports: tuple[Path, ...]) -> Answer:
    """Make a round of a quorum's reports."""
    feed = _open(network, address)
    decimals = (await feed.fetch_state()).settings.decimals
    said = (sent := await feed.submit(read_reports(network, reports))).event("RoundMade")
    answer = format_score(said["answer"], decimals)
    return tell_sent(sent, round=said["round"], answer=answer, reports=said["reports"])


@feed.command("set-signers")
@_feed
@_signers
@_quorum
@sends
async def set_signers(
    network: "Network", address: Address, signers: tuple[Address, ...], quorum: int
) -> Answer:
    """As the owner, replace all signers."""
    check_once(signers, "signer")
    sent = await _open(network, address).set_signers(signers, quorum)
    return tell_sent(sent, feed=address, quorum=quorum)


@feed.group()
def own() -> None:
    """Hand a feed over in two steps. The owner chooses signers and cannot write a score."""


@own.command()
@_feed
@click.argument("to", type=ADDRESS)
@sends
async def offer(network: "Network", address: Address, to: Address) -> Answer:
    """As the owner, offer the feed to TO; the zero account takes an offer back."""
    return tell_sent(await _open(network, address).offer_ownership(to), offered_to=to)


@own.command()
@_feed
@sends
async def accept(network: "Network", address: Address) -> Answer:
    """Accept a feed that was offered to this account."""
    sent = await _open(network, address).accept_ownership()
    return tell_sent(sent, feed=address, owner=network.account)


def parse_score(text: str, decimals: int) -> int:
    """Return a decimal score in units of 10^-decimals, exactly; BadInput if it is not one."""
    match = _SCORE.fullmatch(text)
    if match is None or len(match[3] or "") > decimals:
        raise BadInput(
            f"not a score of {decimals} decimals: {text[:80]!r}",
            hint="write digits, and at most so many after the point, such as -0.42",
        )
    sign, whole, fraction = match[1], match[2], (match[3] or "").ljust(decimals, "0")
    return int(f"{sign}{whole}{fraction}")


def format_score(units: int, decimals: int) -> str:
    """Return a score as decimal text, with all its decimals."""
    whole, fraction = divmod(abs(units), 10**decimals)
    digits = f".{fraction:0{decimals}d}" if decimals else ""
    return f"{'-' if units < 0 else ''}{whole}{digits}"


def _open(network: "Network", address: Address) -> "ScoreFeed":
    from p2p_modelex.chain.contracts.feed import ScoreFeed

    return ScoreFeed(network, address)


def _row(made: "Round", decimals: int) -> dict[str, object]:
    return {
        "round": made.number,
        "answer": format_score(made.answer, decimals),
        "updated_at": Moment(made.updated_at),
        "reported_at": Moment(made.started_at),
    }
