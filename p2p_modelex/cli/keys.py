"""`modelex keys`: who may use the gateway."""

import secrets

import click

from p2p_modelex.cli.common import check_home, home_option, print_json, print_table, run_trio
from p2p_modelex.node.gateway.keyfile import RATE_MAX, ApiKey, add_key, read_keys, remove_key
from p2p_modelex.node.home import Home
from p2p_modelex.units import Epoch, Wei, format_ai, parse_ai


@click.group()
def keys() -> None:
    """Add, list and remove API keys; once there is one, everybody who asks the gateway needs one.

    A gateway that runs takes changes over at its next request.
    """


@keys.command()
@home_option
@click.argument("name")
@click.option("--budget", help="Most it may spend in all, in AI. [default: no limit]")
@click.option(
    "--rate",
    type=click.IntRange(1, RATE_MAX),
    help="Most requests a minute. [default: no limit]",
)
def add(home: Home, name: str, budget: str | None, rate: int | None) -> None:
    """Make a key and print it: it is shown this once, and only its digest is kept.

    A budget is of the token's split epoch now, which is read from the chain.
    """
    check_home(home)
    amount = None if budget is None else parse_ai(budget)
    epoch = Epoch(0) if amount is None else run_trio(_fetch_epoch, home)
    click.echo(add_key(home.api_keys, name, amount, epoch, rate))


@keys.command("list")
@home_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_keys(home: Home, *, as_json: bool) -> None:
    """List keys with their budgets and what they have spent."""
    check_home(home)
    found = read_keys(home.api_keys)
    spent = run_trio(_read_spending, home, found)
    if as_json:
        print_json(
            [
                {
                    "name": key.name,
                    "budget_wei": None if key.budget_wei is None else str(int(key.budget_wei)),
                    "spent_wei": str(int(amount)),
                    "epoch": epoch,
                    "rate_per_minute": key.rate,
                }
                for key, (amount, epoch) in zip(found, spent, strict=True)
            ]
        )
        return
    rows = [
        (key.name, _show(key.budget_wei), _show(amount), str(epoch), str(key.rate or "any"))
        for key, (amount, epoch) in zip(found, spent, strict=True)
    ]
    print_table(("name", "budget, AI", "spent, AI", "epoch", "requests a minute"), rows)


@keys.command()
@home_option
@click.argument("name")
def remove(home: Home, name: str) -> None:
    """Take a key away."""
    check_home(home)
    remove_key(home.api_keys, name)


async def _fetch_epoch(home: Home) -> Epoch:
    from p2p_modelex.chain.evm.port import EvmChain
    from p2p_modelex.cli.common import read_home
    from p2p_modelex.node.assembly import deployment_of
    from p2p_modelex.records.signers import EvmSigner

    configuration = read_home(home)
    deployment = deployment_of(home, configuration)
    nobody = EvmSigner(secrets.token_bytes(32))  # what is only read is signed by nobody
    async with EvmChain(configuration.network.rpc_url, deployment, nobody) as chain:
        return await chain.fetch_epoch()


async def _read_spending(home: Home, found: tuple[ApiKey, ...]) -> list[tuple[Wei, Epoch]]:
    """Return what each key has spent; nothing where the node has never run."""
    from p2p_modelex.node.gateway.entry import read_spent, spent_setting
    from p2p_modelex.store.sqlite import SqliteStore

    if not home.database.exists():
        return [(Wei(0), Epoch(key.epoch)) for key in found]
    async with SqliteStore(home.database, read_only=True) as store:
        return [read_spent(await store.setting(spent_setting(key)), key) for key in found]


def _show(amount: Wei | None) -> str:
    return "any" if amount is None else format_ai(amount).removesuffix(" AI")
