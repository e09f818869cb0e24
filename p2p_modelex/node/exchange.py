"""The library for those who buy: `async with connect(...) as exchange`.

    async with p2p_modelex.connect("buyer", passphrase) as exchange:
        completion = exchange.run("Say hello.", model="smollm2-135m-instruct")
        async for piece in completion:
            print(piece.text, end="")
        print(completion.row.receipt)

Everything runs on Trio. Errors are raised by their class (p2p_modelex/errors.py), never in groups.
Several completions may run at once, each in a task of the caller's.
"""

from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog
import trio

from p2p_modelex.core.anchoring.marks import Mark
from p2p_modelex.core.directory.entry import Entry
from p2p_modelex.core.routing.decision import Decision
from p2p_modelex.errors import ConfigurationError, NetworkError
from p2p_modelex.ids import PeerId, format_peer_id
from p2p_modelex.keys.keystore import unlock_keystore
from p2p_modelex.keys.passphrase import read_passphrase
from p2p_modelex.node.aliases import resolve_alias
from p2p_modelex.node.assembly import open_node
from p2p_modelex.node.charging_settings import X402Settings
from p2p_modelex.node.completion import Completion
from p2p_modelex.node.configuration import Configuration
from p2p_modelex.node.configuration_file import read_configuration, validate_configuration
from p2p_modelex.node.failures import flattened
from p2p_modelex.node.farm_search import FarmFound, find_farm
from p2p_modelex.node.home import Home, default_home
from p2p_modelex.node.joining import parse_peer
from p2p_modelex.node.log import hush_unconfigured
from p2p_modelex.node.mapping.inputs import Prompt, build_prompts
from p2p_modelex.node.mapping.maps import AT_ONCE, Map, open_map
from p2p_modelex.node.mapping.template import Fields, Template
from p2p_modelex.node.node import Node
from p2p_modelex.node.request import Terms, build_request
from p2p_modelex.node.requester_settings import RequesterSettings
from p2p_modelex.records.embedding import decode_vector
from p2p_modelex.records.job import Message, Request
from p2p_modelex.units import Wei

__all__ = [
    "Completion",
    "Exchange",
    "Template",
    "Terms",
    "build_request",
    "connect",
    "parse_peer",
]

SYNC_TIMEOUT_S = 20.0
MEASURE_TIMEOUT_S = 5.0
REGISTRY_TIMEOUT_S = 5.0
"""How long joining waits for the registry; without it nobody counts as registered or suspended."""

LEAVE_TIMEOUT_S = 5.0
"""How long jobs that are cut off may take to be receipted and paid when the block ends."""

log = structlog.get_logger(__name__)


class Exchange:
    """A requester's view of the mesh."""

    def __init__(self, node: Node, configuration: Configuration) -> None:
        self.node = node
        self._configuration = configuration
        self._begun: list[Completion] = []

    @property
    def spending(self) -> RequesterSettings:
        """What the configuration lets requests cost whose terms do not say it, in wei of the
        token's present split epoch.
        """
        return self._configuration.spending_in(self.node.epoch)

    @property
    def charges(self) -> X402Settings:
        """What a gateway charges, in wei of the token's present split epoch."""
        written = self._configuration.split_epoch
        return self._configuration.x402.move(written, self.node.epoch)

    def run(
        self,
        prompt: str | Sequence[Message],
        *,
        model: str,
        terms: Terms | None = None,
        **options: Any,
    ) -> Completion:
        """Ask for a completion; options: those of `build_request`. Raises BadInput."""
        return self.request(build_request(prompt, model=model, **options), terms)

    def resolve(self, model: str) -> str:
        """Return what a name stands for by the configuration's aliases."""
        return resolve_alias(model, self._configuration.aliases)

    def request(self, request: Request, terms: Terms | None = None) -> Completion:
        """As `run`, for a request that is built already."""
        completion = self._complete(request, terms)
        self._begun = [one for one in self._begun if not one.is_over]
        self._begun.append(completion)
        return completion

    async def embed(
        self, text: str, *, model: str, terms: Terms | None = None
    ) -> tuple[float, ...]:
        """Return the vector that an embedding model makes of a text; raises as completions do."""
        completion = self.run(text, model=model, terms=terms, kind="embedding", max_tokens=1)
        return decode_vector(await completion.wait())

    async def explain(self, request: Request, terms: Terms | None = None) -> Decision:
        """Say whom a request would be ordered from, and why; nothing is ordered."""
        return await self._complete(request, terms).explain()

    def _complete(self, request: Request, terms: Terms | None) -> Completion:
        return Completion(self.node, self._configuration, request, terms or Terms())

    def map(
        self,
        template: Template,
        inputs: Iterable[Fields] | AsyncIterable[Fields],
        *,
        terms: Terms | None = None,
        max_cost: Wei | None = None,
        at_once: int = AT_ONCE,
        journal: Path | None = None,
    ) -> AbstractAsyncContextManager[Map]:
        """Fill a template with each of the inputs, and have all that answered by whoever can.

            template = Template(model="smollm2-135m-instruct", text="Rate: {headline}")
            async with exchange.map(template, [{"headline": "Steel up"}, ...]) as results:
                async for result in results:
                    print(result.index, result.text)
                print(await results.tally())

        terms: of each order. max_cost: wei for all of it, in the token's present split epoch; None
        for no bound. at_once: orders in hand at most. journal: a file with which the same map goes
        on after an interruption, and neither runs nor pays again what has a result; None for one
        that lasts as long as the block. Raises BadInput for a bad template or a journal of another
        one, StoreError. When the block ends, what is in hand is cancelled and paid.
        """
        return self.map_prompts(
            template,
            build_prompts(inputs, template),
            terms=terms,
            max_cost=max_cost,
            at_once=at_once,
            journal=journal,
        )

    def map_prompts(
        self,
        template: Template,
        prompts: AsyncGenerator[Prompt, None],
        *,
        terms: Terms | None = None,
        max_cost: Wei | None = None,
        at_once: int = AT_ONCE,
        journal: Path | None = None,
    ) -> AbstractAsyncContextManager[Map]:
        """As `map`, with inputs that are filled in already."""
        return open_map(
            self.node,
            self._configuration,
            template,
            prompts,
            terms=terms or Terms(),
            max_cost=max_cost,
            at_once=at_once,
            journal=journal,
        )

    async def find_farm(self, farm: str) -> FarmFound:
        """Find a farm by its name or id, with its record as members tell it now.

        NoProvider if nobody sells through one that is called so, or several are.
        """
        return await find_farm(self.node, farm)

    async def cancel_all(self) -> None:
        """Cancel every completion that is running."""
        for completion in self._begun:
            await completion.cancel()

    async def meet(self, peer: PeerId, address: str) -> None:
        """Dial a peer by its multiaddr (without /p2p/...) and learn what it sells.

        Raises DialFailed, or NetworkError if it does not advertise itself.
        """
        await self.node.parts.network.dial(peer, [address])
        with trio.move_on_after(SYNC_TIMEOUT_S):
            await self.node.wait_until(lambda: self.node.core.directory.get(peer) is not None)
            return
        raise NetworkError(f"{format_peer_id(peer)} did not advertise itself")

    async def measure(self, entry: Entry) -> float | None:
        """Return the round trip to a peer in milliseconds, None if it does not answer."""
        network = self.node.parts.network
        with trio.move_on_after(MEASURE_TIMEOUT_S):
            try:
                await network.dial(entry.peer, entry.advertisement.addresses)
                return await network.ping(entry.peer) * 1000
            except NetworkError:
                return None
        return None

    def nodes(self) -> tuple[Entry, ...]:
        """Return everyone known who sells something."""
        entries = self.node.core.directory.entries()
        return tuple(entry for entry in entries if entry.advertisement.offers)

    def mark(self, entry: Entry) -> Mark:
        """Return what the registry says of a node."""
        return self.node.core.anchoring.compute_mark(entry.peer, entry.advertisement)


@asynccontextmanager
async def connect(
    home: Path | str | None = None,
    passphrase: str | None = None,
    *,
    via: str | None = None,
    wait_s: float | None = None,
    profile: str | None = None,
) -> AsyncGenerator[Exchange, None]:
    """Open the home's node, join the mesh and wait until the directory is synced.

    home: a directory made by `modelex init`; None for the default one. passphrase: None reads
    MODELEX_PASSPHRASE, the configured file, or asks. via: MULTIADDR/p2p/PEER to join through,
    instead of waiting for the configured bootstrap peers. wait_s: seconds, None for SYNC_TIMEOUT_S.
    profile: a routing profile, None for the configured one. Raises as `open_node` does;
    NetworkError if no peer answers in that time; BadInput for a malformed `via` or a profile that
    there is not. When the block ends, however it ends, completions still running are cancelled and
    paid.
    """
    hush_unconfigured()
    place = default_home() if home is None else Home(Path(home))
    if not place.exists:
        raise ConfigurationError(
            f"{place.path} is not a home of Modelex", hint="modelex init, or name one with --home"
        )
    configuration = read_configuration(place.configuration)
    if profile is not None:
        configuration = replace(
            configuration, requester=replace(configuration.requester, profile=profile)
        )
        validate_configuration(configuration)
    met = None if via is None else parse_peer(via)
    mesh = configuration.mesh
    if met is None and not (mesh.bootstrap or mesh.mdns):
        raise ConfigurationError(
            "no bootstrap peers are configured",
            hint=f"add one to [mesh] in {place.configuration}, or name a peer with --peer",
        )
    if passphrase is None:
        file = configuration.keys.passphrase_file
        passphrase = read_passphrase(place.path / file if file else None)
    keys = unlock_keystore(place.keys, passphrase)
    with flattened():
        async with open_node(place, configuration, keys) as node:
            exchange = Exchange(node, configuration)
            await _join(exchange, met, SYNC_TIMEOUT_S if wait_s is None else wait_s)
            try:
                yield exchange
            finally:
                with trio.CancelScope(deadline=trio.current_time() + LEAVE_TIMEOUT_S, shield=True):
                    await exchange.cancel_all()
                    await node.leave()


async def _join(exchange: Exchange, met: tuple[PeerId, str | None] | None, wait_s: float) -> None:
    if met is not None and met[1] is not None:
        await exchange.meet(met[0], met[1])
    elif not await exchange.node.wait_synced(wait_s):
        raise NetworkError(
            "no peer answered", hint="is a bootstrap peer of [mesh] up? modelex doctor"
        )
    if not await exchange.node.wait_registry(REGISTRY_TIMEOUT_S):
        log.warning("registry_unread", reason="nobody is known to be registered or suspended yet")
