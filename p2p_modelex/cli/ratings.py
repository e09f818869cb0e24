"""`modelex ratings`: what independent parties say of nodes."""

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from p2p_modelex.cli.contracts import read_file, reads, sends
from p2p_modelex.cli.kinds import ADDRESS, PEER
from p2p_modelex.cli.showing import (
    Answer,
    Fields,
    Moment,
    Percent,
    fetch_page,
    page_option,
    tell_sent,
)
from p2p_modelex.errors import BadInput, ConfigurationError
from p2p_modelex.ids import (
    Address,
    Digest,
    PublicKey,
    format_peer_id,
    peer_id_of,
)
from p2p_modelex.limits import MIB
from p2p_modelex.records import envelope
from p2p_modelex.records import receipt as receipt_record

if TYPE_CHECKING:
    from p2p_modelex.chain.contracts.network import Network
    from p2p_modelex.chain.contracts.ratings import Rating, Ratings, Scores
    from p2p_modelex.records.rows import ReceiptRow

NONE = Digest(bytes(32))
EVIDENCE_BYTES = 64 * MIB
_PERCENT = re.compile(r"(100|[0-9]{1,2})(?:\.([0-9]{1,2}))?%?")


def _read_score(text: str) -> Percent:
    match = _PERCENT.fullmatch(text)
    hundredths = int(match[1]) * 100 + int((match[2] or "0").ljust(2, "0")) if match else -1
    if not 0 <= hundredths <= 100 * 100:
        raise BadInput(
            f"not a score: {text[:80]!r}", hint="write 0 to 100, with at most two decimals"
        )
    return Percent(hundredths)


_peer = click.argument("peer", type=PEER)
_operator = click.argument("operator", type=ADDRESS)
_file = click.Path(exists=True, dir_okay=False, path_type=Path)


_score = partial(click.option, type=_read_score, metavar="PERCENT", required=True)


@click.group()
def ratings() -> None:
    """What independent parties say of nodes; readers choose whom they believe.

    A node is a peer and its operator, as `modelex registry list` shows them. Scores are per cent.
    """


@ratings.command()
@_peer
@_operator
@_score("--accuracy", help="How often its answers were right.")
@_score("--response", help="100 is at once, 0 unusable.")
@_score("--uptime", help="How often it answered.")
@click.option("--evidence", type=_file, help="Its SHA-256 digest stands with the rating.")
@click.option("--receipt", type=_file, help="A receipt of the node's, verified first.")
@sends
async def rate(
    network: "Network",
    peer: PublicKey,
    operator: Address,
    accuracy: Percent,
    response: Percent,
    uptime: Percent,
    evidence: Path | None,
    receipt: Path | None,
) -> Answer:
    """Rate a registered node, in place of this account's earlier rating."""
    from p2p_modelex.chain.contracts.ratings import Scores

    shown = NONE if evidence is None else envelope.digest(read_file(evidence, EVIDENCE_BYTES))
    job = NONE if receipt is None else _digest_receipt(network, receipt, peer, operator)
    scores = Scores(accuracy, response, uptime)
    sent = await _ratings(network).rate(peer, operator, scores, shown, job)
    return tell_sent(sent, peer=_name(peer), operator=operator, evidence=shown, receipt=job)


@ratings.command()
@_peer
@_operator
@sends
async def retract(network: "Network", peer: PublicKey, operator: Address) -> Answer:
    """Take this account's rating back."""
    return tell_sent(await _ratings(network).retract(peer, operator), peer=_name(peer))


@ratings.command()
@click.argument("receipt", type=_file)
@sends
async def bar(network: "Network", receipt: Path) -> Answer:
    """Bar the signer of a receipt file from rating the node it signs for."""
    row = _read_receipt(network, receipt)
    sent = await _ratings(network).bar(row.ownership, row.receipt)
    return tell_sent(sent, barred=row.ownership.ownership.delegate)


@ratings.command()
@_peer
@_operator
@click.option(
    "--by",
    "evaluators",
    type=ADDRESS,
    metavar="ACCOUNT",
    multiple=True,
    help="Whom to believe; may be given up to 256 times. [default: the home's account]",
)
@click.option(
    "--since", type=click.IntRange(0), default=0, help="Unix seconds; older do not count."
)
@reads
async def show(
    network: "Network",
    peer: PublicKey,
    operator: Address,
    evaluators: tuple[Address, ...],
    since: int,
) -> Answer:
    """Show the medians of the newest ratings by those whom you believe."""
    believed = evaluators or (_find_own(network),)
    summary = await _ratings(network).summarise(peer, operator, believed, since)
    return {
        "peer": _name(peer),
        "operator": operator,
        "ratings": summary.count,
        "of": len(believed),
        **(_describe_scores(summary.median) if summary.count else {}),
    }


@ratings.command("list")
@_peer
@_operator
@page_option
@reads
async def list_(network: "Network", peer: PublicKey, operator: Address, page: int) -> Answer:
    """List a node's ratings by everybody, whom nobody vouches for."""
    ratings = _ratings(network)
    total = await ratings.fetch_count(peer, operator)
    return await fetch_page(
        page, total, lambda at, limit: ratings.fetch_ratings(peer, operator, at, limit), _describe
    )


def _ratings(network: "Network") -> "Ratings":
    from p2p_modelex.chain.contracts.ratings import Ratings

    return Ratings(network)


def _find_own(network: "Network") -> Address:
    try:
        return network.account
    except ConfigurationError as error:
        error.hint = "name whom you believe: --by ACCOUNT, or give --home"
        raise


def _name(peer: PublicKey) -> str:
    return format_peer_id(peer_id_of(peer))


def _describe(rating: "Rating") -> Fields:
    return {
        "evaluator": rating.evaluator,
        **_describe_scores(rating.scores),
        "rated": Moment(rating.rated_at),
        "block": rating.rated_in,
    }


def _describe_scores(scores: "Scores") -> Fields:
    return {
        "accuracy": Percent(scores.accuracy),
        "response": Percent(scores.response),
        "uptime": Percent(scores.uptime),
    }


def _read_receipt(network: "Network", path: Path) -> "ReceiptRow":
    from p2p_modelex.cli.verify import verify_file

    return verify_file(path, network.deployment.registry_domain)


def _digest_receipt(network: "Network", path: Path, peer: PublicKey, operator: Address) -> Digest:
    row = _read_receipt(network, path)
    proved = row.ownership.ownership
    if (proved.peer, proved.operator) != (peer, operator):
        raise BadInput(
            f"the receipt is of {_name(PublicKey(proved.peer))} and 0x{proved.operator.hex()}",
            hint="give a receipt of the node that you rate",
        )
    return receipt_record.compute_digest(row.receipt.receipt, network.deployment.registry_domain)
