"""`modelex init`."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import click

from p2p_modelex.cli.common import home_option, read_key_file
from p2p_modelex.errors import BadInput, ConfigurationError
from p2p_modelex.ids import format_address, format_peer_id
from p2p_modelex.node.advice import write_grant_command
from p2p_modelex.node.configuration import Configuration, Role
from p2p_modelex.node.home import Home, default_home
from p2p_modelex.node.model_settings import ModelSettings
from p2p_modelex.node.options import PRICE


@click.command()
@home_option
@click.option("--role", type=click.Choice(["provider", "requester", "bootstrap"]))
@click.option(
    "--network",
    "network_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=("The mesh's network.toml: `modelex chain devnet` writes one."),
)
@click.option("--rpc", "rpc_url", help="JSON-RPC endpoint of the chain.")
@click.option("--bootstrap", "peers", multiple=True, help="Multiaddr of a peer to join through.")
@click.option("--listen", multiple=True, help="Multiaddr to listen on.")
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME[:PRICE]",
    help=("A model to sell, with AI for 1,000 completion tokens. Makes the role `provider`."),
)
@click.option(
    "--register",
    is_flag=True,
    help="Keep the provider in the registry on chain: public, and costs gas. Default: anonymous.",
)
@click.option(
    "--key-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=("Take this EVM key (a keystore or 64 hex digits) instead of making one."),
)
def init(
    home: Home,
    role: str | None,
    network_file: Path | None,
    rpc_url: str | None,
    peers: tuple[str, ...],
    listen: tuple[str, ...],
    models: tuple[str, ...],
    key_file: Path | None,
    *,
    register: bool,
) -> None:
    """Create a home: two keys, encrypted, and modelex.toml with every option explained.

    The passphrase comes from MODELEX_PASSPHRASE or is asked for.
    """
    from p2p_modelex.keys.passphrase import read_passphrase
    from p2p_modelex.node.initialise import init_home

    configuration = _configure(role, rpc_url, peers, listen, models, register=register)
    if home.exists:
        raise ConfigurationError(
            f"{home.path} is a home of Modelex already", hint="name another with --home"
        )
    passphrase = read_passphrase(None, confirm=True)
    account_key = read_key_file(key_file) if key_file else None
    keys = init_home(
        home,
        configuration,
        passphrase,
        deployment_file=network_file,
        account_key=account_key,
    )
    click.echo(f"home     {home.path}")
    click.echo(f"role     {configuration.role}")
    click.echo(f"peer     {format_peer_id(keys.peer.peer)}")
    click.echo(f"account  {format_address(keys.account.address)}")
    network_file = network_file or home.path / configuration.network.deployment
    grant = write_grant_command(keys.account.address, configuration.network.rpc_url, network_file)
    _tell_next(home, configuration, grant)


def _tell_next(home: Home, configuration: Configuration, grant: str) -> None:
    """Say what is left to do, in the order of doing it."""
    at = "" if home == default_home() else f" --home {home.path}"
    command = "bootstrap" if configuration.role == "bootstrap" else "up"
    click.echo("\nnext:")
    if configuration.role != "bootstrap":
        money = "gas" if configuration.role == "provider" else "$AI and gas"
        click.echo(f"  {grant}   # {money} on a devnet; else send some there")
    for settings in configuration.models:
        click.echo(f"  modelex models add {settings.model}{at}")
    if configuration.role != "bootstrap" and not configuration.mesh.bootstrap:
        click.echo(f"  name a bootstrap peer under [mesh] in {home.configuration}")
    click.echo(f"  modelex doctor{at}")
    if configuration.role == "requester":
        click.echo(f"  modelex nodes{at}")
    else:
        click.echo(f"  modelex {command}{at}")


def _configure(
    role: str | None,
    rpc_url: str | None,
    peers: tuple[str, ...],
    listen: tuple[str, ...],
    models: tuple[str, ...],
    *,
    register: bool,
) -> Configuration:
    defaults = Configuration()
    network = replace(
        defaults.network,
        rpc_url=rpc_url or defaults.network.rpc_url,
    )
    mesh = replace(defaults.mesh, bootstrap=peers, listen=listen or defaults.mesh.listen)
    return replace(
        defaults,
        role=cast(Role, role or ("provider" if models else "requester")),
        network=network,
        mesh=mesh,
        registry=replace(defaults.registry, register=register),
        models=tuple(_parse_model(text) for text in models),
    )


def _parse_model(text: str) -> ModelSettings:
    """Parse NAME or NAME:PRICE."""
    name, _, price = text.partition(":")
    if not price:
        return ModelSettings(model=name)
    try:
        return ModelSettings(model=name, completion_price=PRICE.read(price))
    except BadInput as error:
        raise BadInput(
            f"not a model with its price: {text!r}",
            hint=f"write NAME:PRICE, AI for 1,000 completion tokens, such as {name}:0.02",
        ) from error
