"""`modelex verify`."""

from pathlib import Path

import click

from p2p_modelex.chain.deployment import read_deployment
from p2p_modelex.cli.common import home_option, read_home
from p2p_modelex.core.exchange import parameters
from p2p_modelex.core.exchange.receipt_file import decode_receipt_file
from p2p_modelex.core.exchange.verification import verify_receipt_row
from p2p_modelex.errors import BadInput, ConfigurationError
from p2p_modelex.ids import Address, PublicKey, format_address, format_peer_id, peer_id_of
from p2p_modelex.node.home import Home
from p2p_modelex.units import format_ai


@click.command()
@home_option
@click.argument("receipt", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--network",
    "network_file",
    type=click.Path(exists=True, path_type=Path),
    help=("The network.toml the receipt belongs to. [default: the home's]"),
)
def verify(home: Home, receipt: Path, network_file: Path | None) -> None:
    """Verify a receipt file without asking anybody: hashes, signatures, who may sign."""
    if network_file is None:
        if not home.exists:
            raise ConfigurationError(
                f"{home.path} is not a home of Modelex, so the receipt's network is not known",
                hint="name its file with --network network.toml",
            )
        network_file = home.path / read_home(home).network.deployment
    if receipt.stat().st_size > parameters.RECEIPT_FILE_BYTES:
        raise BadInput(f"{receipt} is larger than any receipt file")
    row = decode_receipt_file(receipt.read_bytes())
    verify_receipt_row(row, read_deployment(network_file).registry_domain, None)
    signed = row.receipt.receipt
    click.echo("the receipt is good")
    click.echo(f"  provider   {format_peer_id(peer_id_of(PublicKey(signed.peer)))}")
    click.echo(f"  account    {format_address(Address(row.ownership.ownership.operator))}")
    click.echo(f"  model      {row.request.model}, weights sha256 {signed.weights.hex()}")
    click.echo(f"  tokens     {signed.prompt_tokens} prompt, {signed.completion_tokens} completion")
    click.echo(f"  price      {format_ai(signed.price)}")
