"""Signed reports as commands make and read them: for oracle requests and for score feeds."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from p2p_modelex.cli.contracts import fetch_epoch, show_as_of
from p2p_modelex.cli.files import EXISTING_FILE, read_small, write_file
from p2p_modelex.cli.showing import Fields, Moment
from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.errors import BadInput, VerificationFailed
from p2p_modelex.records.report import SignedReport
from p2p_modelex.records.report_file import FILE_BYTES, decode_report_file, encode_report_file
from p2p_modelex.units import Epoch

if TYPE_CHECKING:
    from p2p_modelex.chain.contracts.network import Network

REPORTS_MAX = 32
"""As many as a request or a feed takes."""


def out_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--out FILE`, where a report goes."""
    return click.option(
        "--out",
        type=click.Path(dir_okay=False, path_type=Path),
        required=True,
        help="The file to write the report to.",
    )(command)


def reports_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `REPORT...`, at least one file."""
    return click.argument(
        "reports", metavar="REPORT...", nargs=-1, required=True, type=EXISTING_FILE
    )(command)


def write_report(network: "Network", signed: SignedReport, path: Path) -> None:
    """Write a report's file for this network."""
    deployment = network.deployment
    write_file(path, encode_report_file(signed, deployment.chain_id, network.find("oracle")))


def read_report(network: "Network", path: Path) -> SignedReport:
    """Read a report; BadInput, naming the file, if it is not one, VerificationFailed if it is for
    another network.
    """
    content = read_small(path, FILE_BYTES)
    try:
        return decode_report_file(content, network.deployment.chain_id, network.find("oracle"))
    except (BadInput, VerificationFailed) as error:
        raise type(error)(
            f"{path}: {error.message}", hint="give a file that `sign` wrote, for this network"
        ) from error


def read_reports(network: "Network", paths: Sequence[Path]) -> list[SignedReport]:
    """Read several; BadInput if there are too many."""
    if len(paths) > REPORTS_MAX:
        raise BadInput(f"at most {REPORTS_MAX} reports fit, not {len(paths)}")
    return [read_report(network, path) for path in paths]


async def tell_report(network: "Network", signed: SignedReport) -> Fields:
    """Return a report's fields to print; the score is text, as JSON's numbers are inexact."""
    report = signed.report
    return {
        "subject": report.subject,
        "signer": signed.signer,
        "score": str(report.score),
        "completion": report.completion if any(report.completion) else None,
        "price": show_as_of(Amount(report.price, Epoch(report.epoch)), await fetch_epoch(network)),
        "observed_at": Moment(report.observed_at),
    }
