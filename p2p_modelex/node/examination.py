"""What `modelex doctor` looks at: each check names what is wrong and what to do, and none changes
anything.
"""

import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

import trio

from p2p_modelex.chain.abc import Chain, Deployment
from p2p_modelex.errors import BadInput, ConfigurationError, ModelexError
from p2p_modelex.ids import format_address, parse_peer_id
from p2p_modelex.keys.signers import KeyRing
from p2p_modelex.limits import MIB
from p2p_modelex.node.advice import write_grant_command
from p2p_modelex.node.assembly import build_spec, deployment_of
from p2p_modelex.node.configuration import Configuration
from p2p_modelex.node.configuration_file import read_configuration, validate_split_epoch
from p2p_modelex.node.genesis import check_genesis
from p2p_modelex.node.home import Home
from p2p_modelex.node.model_settings import ModelSettings
from p2p_modelex.units import format_ai

CONNECT_TIMEOUT_S = 5.0
DISK_FREE_MIN = 256 * MIB
Unlock = Callable[[Home, Configuration], KeyRing]


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was looked at, whether it is well, what was seen, what to do if not."""

    name: str
    is_well: bool
    seen: str
    remedy: str = ""


class Examination:
    """Looks at a home; later checks build on what earlier ones found, or are left out."""

    def __init__(self, home: Home, unlock: Unlock) -> None:
        self._home = home
        self._unlock = unlock
        self._configuration: Configuration | None = None
        self._deployment: Deployment | None = None
        self._keys: KeyRing | None = None

    async def run(self) -> AsyncGenerator[Finding, None]:
        """Yield the findings as they come."""
        steps: tuple[tuple[str, Callable[[], Awaitable[str]]], ...] = (
            ("configuration", self._check_configuration),
            ("disk", self._check_disk),
            ("keys", self._check_keys),
            ("database", self._check_database),
            ("network file", self._check_deployment),
            ("chain", self._check_chain),
            ("account", self._check_account),
            ("models", self._check_models),
            ("port", self._check_port),
            ("bootstrap", self._check_bootstrap),
        )
        for name, check in steps:
            try:
                seen = await check()
            except ModelexError as error:
                yield Finding(name, is_well=False, seen=error.message, remedy=error.hint)
            else:
                if seen:
                    yield Finding(name, is_well=True, seen=seen)

    async def _check_configuration(self) -> str:
        if not self._home.exists:
            raise ConfigurationError(
                f"{self._home.path} is not a home of Modelex", hint="modelex init"
            )
        self._configuration = read_configuration(self._home.configuration)
        return f"{self._home.configuration}, role {self._configuration.role}"

    async def _check_disk(self) -> str:
        if self._configuration is None:
            return ""
        free = shutil.disk_usage(self._home.path).free
        if free < DISK_FREE_MIN:
            raise ConfigurationError(
                f"{free // MIB} MiB free", hint="make room: vouchers must be stored to be kept"
            )
        return f"{free // MIB} MiB free"

    async def _check_keys(self) -> str:
        if self._configuration is None:
            return ""
        self._keys = self._unlock(self._home, self._configuration)
        return f"account {format_address(self._keys.account.address)}"

    async def _check_database(self) -> str:
        if self._configuration is None or not self._home.database.exists():
            return ""
        from p2p_modelex.store.sqlite import SqliteStore

        async with SqliteStore(self._home.database, read_only=True) as store:
            channels = await store.channels()
        return f"whole, {len(channels)} {'channel' if len(channels) == 1 else 'channels'}"

    async def _check_deployment(self) -> str:
        if self._configuration is None:
            return ""
        self._deployment = deployment_of(self._home, self._configuration)
        return f"{self._deployment.name}, chain {self._deployment.chain_id}"

    async def _check_chain(self) -> str:
        if self._deployment is None or self._configuration is None or self._keys is None:
            return ""
        if self._configuration.role == "bootstrap":
            return ""
        from p2p_modelex.chain.evm.port import EvmChain

        url = self._configuration.network.rpc_url
        async with EvmChain(url, self._deployment, self._keys.account) as chain:
            try:
                await chain.check()
                await self._check_genesis(chain, url)
            except ModelexError:
                self._deployment = None
                raise
        return f"{url} has our contracts"

    async def _check_genesis(self, chain: Chain, url: str) -> None:
        if not self._home.database.exists():
            return
        from p2p_modelex.store.sqlite import SqliteStore

        async with SqliteStore(self._home.database, read_only=True) as store:
            await check_genesis(chain, store, url)

    async def _check_account(self) -> str:
        if self._deployment is None or self._configuration is None or self._keys is None:
            return ""
        if self._configuration.role == "bootstrap":
            return ""
        from p2p_modelex.chain.evm.port import EvmChain

        account = self._keys.account.address
        url = self._configuration.network.rpc_url
        async with EvmChain(url, self._deployment, self._keys.account) as chain:
            tokens = await chain.fetch_balance(account)
            gas = await chain.fetch_gas_balance(account)
            split = await chain.fetch_split()
        validate_split_epoch(self._configuration, split.epoch)
        network_file = self._home.path / self._configuration.network.deployment
        fund = f"send it some; on a devnet: {write_grant_command(account, url, network_file)}"
        if not gas:
            raise ConfigurationError("no coin for gas: it cannot open or redeem", hint=fund)
        if not tokens and self._configuration.role == "requester":
            raise ConfigurationError("no $AI: it cannot open a channel", hint=fund)
        pause = f"; $AI is not transferred before block {split.splits_at}, where it splits"
        return f"{format_ai(tokens, split.epoch)}, and gas" + (pause if split.is_paused else "")

    async def _check_models(self) -> str:
        if self._configuration is None or self._configuration.role != "provider":
            return ""
        if not self._configuration.models:
            raise ConfigurationError("a provider sells nothing", hint="add [[models]] tables")
        seen = [await self._check_model(settings) for settings in self._configuration.models]
        return ", ".join(seen)

    async def _check_model(self, settings: ModelSettings) -> str:
        if settings.engine == "upstream":
            from p2p_modelex.engine.upstream.starting import look_at

            try:
                found = await look_at(build_spec(self._home, settings))
            except ModelexError as error:
                error.hint = error.hint or f"is {settings.upstream_url} up? Its log may say more"
                raise
            return f"{settings.model}: {found.model} at {found.server.name} ({found.dialect_name})"
        from p2p_modelex.engine.catalogue import Catalogue

        catalogue = Catalogue(self._home.models)
        try:
            await trio.to_thread.run_sync(catalogue.verify, settings.model)
            build_spec(self._home, settings)
        except ModelexError as error:
            again = f"modelex models remove {settings.model}, then models add it again"
            error.hint = error.hint or again
            raise
        return f"{settings.model}: digest matches"

    async def _check_port(self) -> str:
        if self._configuration is None:
            return ""
        try:
            with self._home.lock():
                for address in self._configuration.mesh.listen:
                    await _try_to_bind(address)
        except _InUse as error:
            raise ConfigurationError(error.message, hint=error.hint) from error
        except ConfigurationError as error:
            # Its ports are taken by itself.
            return f"the node is up: {error.message}"
        return ", ".join(self._configuration.mesh.listen) + " can be listened on"

    async def _check_bootstrap(self) -> str:
        if self._configuration is None:
            return ""
        peers = self._configuration.mesh.bootstrap
        if self._configuration.mesh.mdns and not peers:
            return "none; peers are looked for on the local network"
        if not peers and self._configuration.role != "bootstrap":
            raise ConfigurationError(
                "no bootstrap peers", hint="add a multiaddr to mesh.bootstrap, or set mesh.mdns"
            )
        reached = [peer for peer in peers if await _answers(peer)]
        if peers and not reached:
            raise ConfigurationError(
                f"none of {len(peers)} bootstrap peers answers",
                hint="is one of them up? modelex bootstrap",
            )
        return f"{len(reached)} of {len(peers)} answer"


def _parse_tcp(address: str) -> tuple[str, int]:
    """Split `/ip4/HOST/tcp/PORT`; BadInput for another shape."""
    parts = address.split("/")
    if len(parts) < 5 or parts[1] not in ("ip4", "ip6", "dns4", "dns6", "dns") or parts[3] != "tcp":
        raise BadInput(f"not a TCP multiaddr: {address[:80]!r}", hint="/ip4/0.0.0.0/tcp/4701")
    return parts[2], int(parts[4]) if parts[4].isdigit() else 0


class _InUse(ModelexError):
    """An address cannot be listened on."""


async def _try_to_bind(address: str) -> None:
    host, port = _parse_tcp(address)
    with trio.socket.socket(_family_of(host)) as probe:
        # As a node does it, so that a port that was in use a moment ago is not called taken.
        probe.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_REUSEADDR, 1)
        try:
            await probe.bind((host, port))
        except OSError as error:
            raise _InUse(
                f"{address}: {error.strerror}",
                hint="another program has the port: end it, or change mesh.listen",
            ) from error


def _family_of(host: str) -> int:
    return trio.socket.AF_INET6 if ":" in host else trio.socket.AF_INET


async def _answers(peer: str) -> bool:
    """Whether something accepts connections at a bootstrap address."""
    address, _, name = peer.rpartition("/p2p/")
    parse_peer_id(name)
    host, port = _parse_tcp(address)
    with trio.move_on_after(CONNECT_TIMEOUT_S):
        try:
            stream = await trio.open_tcp_stream(host, port)
        except OSError:
            return False
        await stream.aclose()
        return True
    return False
