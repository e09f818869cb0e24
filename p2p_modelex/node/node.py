"""A running node: its parts wired together from a home, and what callers may do with it."""

import random
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog
import trio

from p2p_modelex import __version__
from p2p_modelex.chain.abc import Chain, Deployment
from p2p_modelex.core.anchoring.own import SENT, AnchoringPolicy
from p2p_modelex.core.choosing import Look
from p2p_modelex.core.effects import Effect, Persist, RunEvent, RunFailed, RunFinished
from p2p_modelex.core.funding import SALT_SEED, Budget
from p2p_modelex.core.inputs import CancelRun, RunRequested, ShutDown
from p2p_modelex.core.ledger.settlement import SettlementPolicy
from p2p_modelex.core.node import FINAL_STATES, NodeCore
from p2p_modelex.core.parts import Identity, Policies, Shop
from p2p_modelex.core.routing.decision import Decision
from p2p_modelex.core.verdict import Verdict as Judged
from p2p_modelex.engine.abc import Engine
from p2p_modelex.ids import JobId, PeerId, PublicKey
from p2p_modelex.keys.signers import KeyRing
from p2p_modelex.net.abc import Network, Validator, Verdict
from p2p_modelex.node import joining
from p2p_modelex.node.configuration import Configuration
from p2p_modelex.node.configuration_file import validate_split_epoch
from p2p_modelex.node.driver import Driver, wall_clock
from p2p_modelex.node.farms import NO_FARMS, Farms
from p2p_modelex.node.routing_profiles import find_profile
from p2p_modelex.node.shop import build_ownership, restock
from p2p_modelex.records.registry import RegistryEntry
from p2p_modelex.records.rows import Row, SettingRow
from p2p_modelex.store.abc import Store
from p2p_modelex.units import Epoch, Millis, UnixMs, Wei

AGENT = f"modelex/{__version__}"
SHUTDOWN_GRACE_S = 30.0
"""Jobs in hand may finish for this long; a cut job's payer owes only what it got."""

WATCH_INTERVAL_S = 1.0
"""How often a node looks whether its engines are what they were; it costs 50 us."""

FLUSH_S = 3.0
"""What is queued on streams may go out for this long."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a node is made of: real ones from node/assembly.py, in-memory ones in tests."""

    network: Network
    store: Store
    chain: Chain | None
    engines: Mapping[str, Engine]
    keys: KeyRing
    deployment: Deployment


class Node:
    """One node. Use `async with node.serve():`; the rest works inside that block."""

    def __init__(
        self,
        parts: Parts,
        configuration: Configuration,
        shop: Shop | None,
        farms: Farms = NO_FARMS,
    ) -> None:
        self.parts = parts
        self._farms = farms
        self._configuration = configuration
        self._shop = shop
        deployment = parts.deployment
        identity = Identity(
            peer=parts.keys.peer.peer,
            peer_signer=parts.keys.peer,
            account_signer=parts.keys.account,
            network=deployment.network,
            registry_domain=deployment.registry_domain,
            channels_domain=deployment.channels_domain,
        )
        policies = _policies(configuration)
        self.core = NodeCore(identity, policies, shop, random.SystemRandom(), AGENT)
        self._driver = Driver(
            self.core, parts.network, parts.store, parts.chain, parts.engines, wall_clock
        )
        for topic, judge in self.core.gossip.items():
            parts.network.subscribe(topic, _build_validator(judge))

    @property
    def peer(self) -> PeerId:
        return self.parts.keys.peer.peer

    @asynccontextmanager
    async def serve(self) -> AsyncGenerator[None, None]:
        """Join the mesh and serve until the block ends."""
        await self._restore()
        async with self._driver.run(), trio.open_nursery() as nursery:
            await self.join_farms(self._farms)
            await self._advertise()
            nursery.start_soon(self._join_by_memory)
            nursery.start_soon(self._watch_engines)
            yield
            nursery.cancel_scope.cancel()

    async def leave(self) -> None:
        """Refuse new jobs, take the advertisement back, and let jobs in hand finish for a while."""
        await self._driver.perform(lambda now: self.core.step(ShutDown(), now))
        await self._driver.perform(self.core.withdraw)
        with trio.move_on_after(SHUTDOWN_GRACE_S):
            await self._driver.wait_until(lambda: self.core.is_idle)
        # The last vouchers and the withdrawal are still on their way.
        with trio.move_on_after(FLUSH_S):
            await self._driver.wait_quiet()

    @property
    def epoch(self) -> Epoch:
        """The token's split epoch, as far as the node knows."""
        return self.core.splits.epoch

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition on the core holds."""
        await self._driver.wait_until(condition)

    async def wait_synced(self, timeout_s: float) -> bool:
        """Wait until the directory was reconciled with a peer; False if that takes too long."""
        with trio.move_on_after(timeout_s):
            await self.wait_until(lambda: self.core.mesh.knows_enough(wall_clock()))
            return True
        return False

    async def wait_registry(self, timeout_s: float) -> bool:
        """Wait until the registry was read once, so that marks mean something; False if that takes
        too long, or there is no chain to read it from.
        """
        if self.parts.chain is None:
            return False
        with trio.move_on_after(timeout_s):
            await self.wait_until(lambda: self.core.anchoring.is_read)
            return True
        return False

    @asynccontextmanager
    async def run(
        self, build: Callable[[JobId], RunRequested]
    ) -> AsyncGenerator[AsyncGenerator[RunEvent, None], None]:
        """Begin a run and give its events; leaving the block early cancels it."""
        job = JobId(secrets.token_bytes(16))
        events = self._driver.listen(job)
        await self._driver.tell(build(job))
        is_over = False

        async def until_over() -> AsyncGenerator[RunEvent, None]:
            nonlocal is_over
            async for event in events:
                is_over = isinstance(event, RunFinished | RunFailed)
                yield event
                if is_over:
                    return
            reason = "its events were left unread"
            yield RunFailed(job, None, "cancelled", reason, False, 0, Wei(0))

        stream = until_over()
        try:
            yield stream
        finally:
            with trio.CancelScope(shield=True):
                await stream.aclose()
                self._driver.forget(job)
                if not is_over:
                    await self._driver.tell(CancelRun(job))

    async def explain(self, wanted: RunRequested) -> Decision:
        """Say whom a run would be ordered from, and why, without ordering it."""
        looks: list[Look] = []

        def ask(now: UnixMs) -> list[Effect]:
            look, effects = self.core.look(wanted, now)
            looks.append(look)
            return list(effects)

        await self._driver.perform(ask)
        await self.wait_until(lambda: self.core.is_ready(looks[0]))
        return self.core.explain(looks[0], wall_clock())

    async def keep(self, rows: Sequence[Row]) -> None:
        """Make rows durable, in the order of the node's own; they are when this returns."""
        await self._driver.perform(lambda _: [Persist(tuple(rows))])

    async def join_farms(self, farms: Farms) -> None:
        """Be a member and the owner of these farms from now on, and of no others."""
        await self._driver.perform(
            lambda now: self.core.farming.join(farms.certificates, farms.owned, farms.records, now)
        )

    async def ask_farm(self, farm: PublicKey) -> None:
        """Ask members of a farm for its record, if that was not asked for lately; returns when one
        has answered, or none did in time.
        """
        machine = self.core.farming.machine
        await self._driver.perform(lambda now: machine.ask(farm, now))
        await self.wait_until(lambda: not machine.is_asking(farm))

    async def cancel(self, job: JobId) -> None:
        """End a run early; what came is paid, and its events end as those of any other run."""
        await self._driver.tell(CancelRun(job))

    async def _restore(self) -> None:
        await self._find_epoch()
        store, now = self.parts.store, wall_clock()
        rows: list[Row] = [
            *await store.channels(),
            *await store.members(),
            *await store.memberships(),
            *await store.issued_vouchers(),
            *await store.received_vouchers(),
            *await store.redeemed(),
            *await store.loans(),
            *await store.jobs(without=FINAL_STATES),
            await _keep_seed(store),
        ]
        sent = await store.setting(SENT)
        if sent is not None:
            rows.append(SettingRow(SENT, sent))
        cut = self.core.restore(rows, await self._fetch_entry())
        await store.apply(cut)
        forgotten = await store.prune(now, finished=FINAL_STATES)
        self.core.farming.book.restore(await store.farms(now), now)
        kept = self.core.directory.restore(await store.records(now), now)
        log.info("restored", rows=len(rows), advertisements=kept, cut=len(cut), forgotten=forgotten)

    async def _find_epoch(self) -> None:
        """Begin in the token's split epoch; ConfigurationError if the configuration is ahead."""
        if self.parts.chain is None:
            return
        split = await self.parts.chain.fetch_split()
        validate_split_epoch(self._configuration, split.epoch)
        self.core.begin_in(split)

    async def _join_by_memory(self) -> None:
        if not await self.wait_synced(joining.GRACE_S):
            await joining.dial_known(self.parts.network, self.core.directory.entries())

    async def _fetch_entry(self) -> RegistryEntry | None:
        """Our registry entry, if we have one and are going to advertise it."""
        if self.parts.chain is None or self._configuration.role == "requester":
            return None
        return await self.parts.chain.fetch_registration(self.parts.keys.peer.public_key)

    async def _watch_engines(self) -> None:
        """Sell, and advertise, what the engines have ready: one may swap its model or be down."""
        first = last = self._shop
        if first is None or last is None:
            return
        while True:
            await trio.sleep(WATCH_INTERVAL_S)
            shop = restock(first, last, self.parts.engines)
            if shop != last:
                last = shop
                self.core.stock(shop)
                await self._advertise()
                log.info("restocked", models=[offer.model for offer in shop.advertised])

    async def _advertise(self) -> None:
        if self._configuration.role == "requester":
            return
        accounts = (build_ownership(self.parts.keys, self.parts.deployment, wall_clock()),)
        addresses = self._configuration.mesh.announce or self.parts.network.addresses
        await self._driver.perform(lambda now: self.core.advertise(addresses, accounts, now))


def _build_validator(judge: Callable[[PeerId, bytes, UnixMs], Judged]) -> Validator:
    """Return the network's form of who judges a topic."""
    return lambda origin, payload: Verdict(judge(origin, payload, wall_clock()).outcome.value)


async def _keep_seed(store: Store) -> SettingRow:
    """Return what names the channels of this home, made at its first start."""
    kept = await store.setting(SALT_SEED)
    row = SettingRow(SALT_SEED, kept or secrets.token_bytes(32))
    if kept is None:
        await store.apply([row])
    return row


def _policies(configuration: Configuration) -> Policies:
    requester, settlement = configuration.requester, configuration.settlement
    registry = configuration.registry
    epoch = Epoch(configuration.split_epoch)
    return Policies(
        Budget(requester.auto_deposit, requester.max_deposits, epoch),
        SettlementPolicy(
            threshold=settlement.redeem_above,
            max_age_ms=Millis(settlement.redeem_every_s * 1000),
            answers_closing=settlement.answer_closing,
            epoch=epoch,
        ),
        anchoring=AnchoringPolicy(registry.register, Millis(registry.update_every_s * 1000)),
        routing=find_profile(requester.profile, configuration.profiles),
    )
