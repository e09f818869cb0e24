"""`modelex gateway`."""

from dataclasses import replace

import click
import trio

from p2p_modelex.cli.common import home_option, read_home, run_trio
from p2p_modelex.cli.serve import wait_to_leave, watch_signals
from p2p_modelex.errors import ConfigurationError
from p2p_modelex.node.configuration import GatewaySettings
from p2p_modelex.node.home import Home


@click.command()
@home_option
@click.option("--host", help="Address to listen on, instead of the configured.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port, instead of the configured.")
def gateway(home: Home, host: str | None, port: int | None) -> None:
    """Serve the API until SIGINT or SIGTERM, buying on the mesh from this home's account."""
    from p2p_modelex.node.log import configure_log

    configuration = read_home(home)
    if configuration.role != "requester":
        raise ConfigurationError(
            f"this is the home of a {configuration.role}",
            hint="set serve = true in its [gateway] and run `modelex up`, or take another home",
        )
    settings = configuration.gateway
    settings = replace(
        settings,
        host=settings.host if host is None else host,
        port=settings.port if port is None else port,
    )
    configure_log(configuration.log, folder=home.logs)
    run_trio(_serve, home, settings)


async def _serve(home: Home, settings: GatewaySettings) -> None:
    from p2p_modelex.node.exchange import connect
    from p2p_modelex.node.gateway.gateway import open_gateway

    ready, leaving = trio.Event(), trio.Event()
    async with trio.open_nursery() as nursery:
        await nursery.start(watch_signals, ready, leaving, nursery.cancel_scope)
        async with connect(home.path) as exchange, open_gateway(exchange, settings, home) as url:
            click.echo(f"serving {url}")
            await wait_to_leave(ready, leaving)
            click.echo("leaving: requests in hand are cancelled (again to stop at once)", err=True)
        nursery.cancel_scope.cancel()
