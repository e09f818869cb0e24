"""What the commands about contracts share: whose account, and which network.

A command is an async function of a Network that returns what it has to say:

    @token.command()
    @click.argument("account", type=ADDRESS)
    @reads
    async def balance(network: "Network", account: Address) -> Answer: ...
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from p2p_modelex.cli.common import (
    check_home,
    home_option,
    read_home,
    read_key_file,
    run_trio,
    unlock,
)
from p2p_modelex.cli.showing import Answer, print_answer
from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.errors import BadInput, ConfigurationError, KeystoreError
from p2p_modelex.ids import Address, PeerId, public_key_of
from p2p_modelex.node.home import Home
from p2p_modelex.units import Epoch, Wei

if TYPE_CHECKING:  # imported where it is used: it brings the codecs of the chain
    from p2p_modelex.chain.abc import Deployment
    from p2p_modelex.chain.contracts.network import Network
    from p2p_modelex.records.eip712 import AccountSigner

Command = Callable[..., None]
Act = Callable[..., Awaitable[Answer]]
Stream = Callable[..., AsyncGenerator[Answer, None]]


def read_file(path: Path, limit: int) -> bytes:
    """Return a file's content; BadInput if that is over `limit` bytes."""
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise BadInput(f"{path} is larger than {limit} bytes", hint="check the path")
    return content


def reads(act: Act) -> Command:
    """Make a command of `act`, without a key. The network's account is that of the home, and so is
    an argument `peer` that is left out.
    """
    return _command(act, is_sending=False)


def reads_home(act: Act) -> Command:
    """As `reads`, for an `act` that is given the home too."""

    async def follow(network: "Network", home: Home, *, as_json: bool, **arguments: Any) -> None:
        print_answer(await act(network, home, **arguments), as_json=as_json)

    return _build(act, follow, is_sending=False)


def sends(act: Act) -> Command:
    """Make a command of `act`, with the key of the home or of `--key-file`; else as `reads`."""
    return _command(act, is_sending=True)


def serves(stream: Stream) -> Command:
    """Make a command of `stream`, which is given the home too, with a key as `sends`: each of its
    answers is printed when it comes.
    """

    async def follow(network: "Network", home: Home, *, as_json: bool, **arguments: Any) -> None:
        async with aclosing(stream(network, home, **arguments)) as answers:
            async for answer in answers:
                print_answer(answer, as_json=as_json)

    return _build(stream, follow, is_sending=True)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where to ask and for whom; what is None is as the home has it."""

    home: Home
    rpc: str | None
    network_file: Path | None
    key_file: Path | None = None

    def open(self, *, is_sending: bool) -> "Network":
        from p2p_modelex.chain.contracts.network import Network

        deployment = self._read_deployment()
        url = self.rpc or read_home(self.home).network.rpc_url
        if is_sending:
            return Network(url, deployment, self._read_signer())
        return Network(url, deployment, account=self._read_account())

    def _read_deployment(self) -> "Deployment":
        from p2p_modelex.chain.deployment import read_deployment

        path = self.network_file or self.home.path / read_home(self.home).network.deployment
        return read_deployment(path)

    def _read_signer(self) -> "AccountSigner":
        from p2p_modelex.records.signers import EvmSigner

        if self.key_file is not None:
            return EvmSigner(read_key_file(self.key_file))
        signer: AccountSigner = unlock(self.home, read_home(self.home)).account
        return signer

    def _read_account(self) -> Address | None:
        from p2p_modelex.keys.keystore import read_account

        try:
            return read_account(self.home.keys) if self.home.exists else None
        except KeystoreError:  # then a command that needs one says so
            return None


def _read_peer(home: Home) -> PeerId:
    from p2p_modelex.keys import keystore

    check_home(home)
    return keystore.read_peer(home.keys)


def _command(act: Act, *, is_sending: bool) -> Command:
    async def follow(network: "Network", home: Home, *, as_json: bool, **arguments: Any) -> None:
        if "peer" in arguments and arguments["peer"] is None:
            arguments["peer"] = public_key_of(_read_peer(home))
        print_answer(await act(network, **arguments), as_json=as_json)

    return _build(act, follow, is_sending=is_sending)


def _build(
    act: Callable[..., object], follow: Callable[..., Awaitable[None]], *, is_sending: bool
) -> Command:
    """Add the options of place and key. follow: prints what `act` has to say."""

    def run(
        *,
        home: Home,
        rpc: str | None,
        network_file: Path | None,
        key_file: Path | None = None,
        **arguments: Any,
    ) -> None:
        _check_place(home, rpc, network_file, key_file if is_sending else home)
        network = _Place(home, rpc, network_file, key_file).open(is_sending=is_sending)
        run_trio(_run, network, follow, home, arguments)

    command: Command = wraps(act)(run)
    if is_sending:
        command = _key_option(command)
    return home_option(_rpc_option(_network_option(_json_option(command))))


def _check_place(home: Home, rpc: object, network_file: object, key: object) -> None:
    """Raise ConfigurationError if something is to be the home's, and there is none."""
    options = {"--rpc URL": rpc, "--network-file FILE": network_file, "--key-file FILE": key}
    missing = [option for option, given in options.items() if given is None]
    if missing and not home.exists:
        raise ConfigurationError(
            f"{home.path} is not a home of Modelex",
            hint=f"give {' and '.join(missing)}, or make a home: modelex init",
        )


async def _run(
    network: "Network", follow: Callable[..., Awaitable[None]], home: Home, arguments: Any
) -> None:
    async with network:
        await follow(network, home, **arguments)


_rpc_option = click.option(
    "--rpc",
    envvar="MODELEX_RPC_URL",
    show_envvar=True,
    metavar="URL",
    help="JSON-RPC endpoint. [default: the home's]",
)
_network_option = click.option(
    "--network-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The network's contracts. [default: the home's]",
)
_key_option = click.option(
    "--key-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Key of the account: a keystore or 64 hex digits. [default: the home's]",
)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


async def fetch_epoch(network: "Network") -> Epoch:
    """The token's current split epoch."""
    from p2p_modelex.chain.contracts.token import Token

    return await Token(network).fetch_epoch()


async def current(network: "Network", wei: Wei) -> Amount:
    """Return an amount as people write them: in AI of the token's current epoch."""
    return Amount(wei, await fetch_epoch(network))


def show_as_of(amount: Amount, epoch: Epoch) -> Amount:
    """Return an amount as people read them: in units of the current epoch. One of an epoch to come,
    which a stranger may have signed, stays as it is and says so.
    """
    return amount.rescale(max(amount.epoch, epoch))
