"""`modelex verify`."""

from collections.abc import Sequence
from pathlib import Path

import click

from p2p_modelex.chain.deployment import read_deployment
from p2p_modelex.cli.common import home_option, read_home
from p2p_modelex.cli.files import read_small
from p2p_modelex.cli.text import printable
from p2p_modelex.core.exchange import parameters
from p2p_modelex.core.exchange.receipt_file import decode_receipt_file
from p2p_modelex.core.exchange.verification import verify_receipt_row
from p2p_modelex.errors import BadInput, ConfigurationError, VerificationFailed
from p2p_modelex.ids import Address, Digest, PublicKey, format_address, format_peer_id, peer_id_of
from p2p_modelex.node.home import Home
from p2p_modelex.records.rows import ReceiptRow
from p2p_modelex.units import format_ai


@click.command()
@home_option
@click.argument(
    "receipts",
    metavar="RECEIPT...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@click.option(
    "--network",
    "network_file",
    type=click.Path(exists=True, path_type=Path),
    help=("The network.toml the receipts belong to. [default: the home's]"),
)
def verify(home: Home, receipts: tuple[Path, ...], network_file: Path | None) -> None:
    """Verify receipt files without asking anybody: hashes, signatures, who may sign.

    Several get a line each, and all are looked at; exit code 14 if any is bad.
    """
    if network_file is None:
        if not home.exists:
            raise ConfigurationError(
                f"{home.path} is not a home of Modelex, so the receipts' network is not known",
                hint="name its file with --network network.toml",
            )
        network_file = home.path / read_home(home).network.deployment
    domain = read_deployment(network_file).registry_domain
    if len(receipts) == 1:
        _print(verify_file(receipts[0], domain))
    else:
        _verify_all(receipts, domain)


def verify_file(path: Path, domain: Digest) -> ReceiptRow:
    """Return what a receipt file holds; BadInput if it is not one, VerificationFailed unless it is
    good, in the domain of a network's registry.
    """
    content = read_small(path, parameters.RECEIPT_FILE_BYTES)
    try:
        row = decode_receipt_file(content)
    except VerificationFailed as error:
        raise BadInput(
            f"{path}: {error.message}", hint="give a file that `modelex run --receipt` wrote, whole"
        ) from error
    verify_receipt_row(row, domain, None)
    return row


def _verify_all(paths: Sequence[Path], domain: Digest) -> None:
    bad = []
    for path in paths:
        try:
            row = verify_file(path, domain)
        except (BadInput, VerificationFailed) as error:
            bad.append(path)
            why = error.message.removeprefix(f"{path}: ")
            click.echo(printable(f"BAD   {path}: {why}"))
        else:
            signed = row.receipt.receipt
            tokens = f"{signed.prompt_tokens}+{signed.completion_tokens} tokens"
            said = f"{row.request.model}, {tokens}, {format_ai(signed.price, signed.epoch)}"
            click.echo(printable(f"good  {path}: {said}"))
    if bad:
        names = ", ".join(map(str, bad))
        raise VerificationFailed(
            f"{len(bad)} of {len(paths)} receipts {'is' if len(bad) == 1 else 'are'} bad: {names}"
        )
    click.echo(f"all {len(paths)} receipts are good")


def _print(row: ReceiptRow) -> None:
    signed = row.receipt.receipt
    click.echo("the receipt is good")
    click.echo(f"  provider   {format_peer_id(peer_id_of(PublicKey(signed.peer)))}")
    click.echo(f"  account    {format_address(Address(row.ownership.ownership.operator))}")
    model = printable(row.request.model)
    click.echo(f"  model      {model}, weights sha256 {signed.weights.hex()}")
    click.echo(f"  tokens     {signed.prompt_tokens} prompt, {signed.completion_tokens} completion")
    click.echo(f"  price      {format_ai(signed.price, signed.epoch)}")
