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
from p2p_modelex.core.effects import Persist, RunEvent, RunFailed, RunFinished
from p2p_modelex.core.funding import SALT_SEED, Budget
from p2p_modelex.core.inputs import CancelRun, RunRequested, ShutDown
from p2p_modelex.core.ledger.settlement import SettlementPolicy
from p2p_modelex.core.node import (
    ANNOUNCEMENTS_TOPIC,
    FINAL_STATES,
    Identity,
    NodeCore,
    Policies,
    Shop,
)
from p2p_modelex.engine.abc import Engine
from p2p_modelex.errors import ConfigurationError
from p2p_modelex.ids import JobId, PeerId
from p2p_modelex.keys.signers import KeyRing
from p2p_modelex.net.abc import Network, Verdict
from p2p_modelex.node import joining
from p2p_modelex.node.configuration import Configuration
from p2p_modelex.node.driver import Driver, wall_clock
from p2p_modelex.node.shop import build_ownership
from p2p_modelex.records.advertisement import Section
from p2p_modelex.records.envelope import digest
from p2p_modelex.records.rows import Row, SettingRow
from p2p_modelex.store.abc import Store
from p2p_modelex.units import Millis, Wei

AGENT = f"modelex/{__version__}"
SHUTDOWN_GRACE_S = 30.0
"""Jobs in hand may finish for this long; a cut job's payer owes only what it got."""

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

    def __init__(self, parts: Parts, configuration: Configuration, shop: Shop | None) -> None:
        self.parts = parts
        self._configuration = configuration
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
        parts.network.subscribe(ANNOUNCEMENTS_TOPIC, self._judge_gossip)

    @property
    def peer(self) -> PeerId:
        return self.parts.keys.peer.peer

    @asynccontextmanager
    async def serve(self) -> AsyncGenerator[None, None]:
        """Join the mesh and serve until the block ends."""
        await self._restore()
        async with self._driver.run(), trio.open_nursery() as nursery:
            await self._advertise(await self._find_section())
            nursery.start_soon(self._join_by_memory)
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

    async def register(self) -> None:
        """Put the peer into the registry on chain, or anchor its newest advertisement there."""
        await self._advertise(Section.PUBLIC)
        entry = self.core.directory.get(self.peer)
        if self.parts.chain is None or entry is None:
            raise ConfigurationError("only a node that advertises itself can be registered")
        transaction = await self.parts.chain.register(
            self.parts.keys.peer.public_key,
            digest(entry.envelope),
            entry.advertisement.sequence,
            "",
        )
        log.info("registered", transaction="0x" + transaction.hex())

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition on the core holds."""
        await self._driver.wait_until(condition)

    async def wait_synced(self, timeout_s: float) -> bool:
        """Wait until the directory was reconciled with a peer; False if that takes too long."""
        with trio.move_on_after(timeout_s):
            await self.wait_until(lambda: self.core.mesh.knows_enough(wall_clock()))
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

    async def keep(self, rows: Sequence[Row]) -> None:
        """Make rows durable, in the order of the node's own; they are when this returns."""
        await self._driver.perform(lambda _: [Persist(tuple(rows))])

    async def cancel(self, job: JobId) -> None:
        """End a run early; what came is paid, and its events end as those of any other run."""
        await self._driver.tell(CancelRun(job))

    async def _restore(self) -> None:
        store, now = self.parts.store, wall_clock()
        rows: list[Row] = [
            *await store.channels(),
            *await store.issued_vouchers(),
            *await store.received_vouchers(),
            *await store.redeemed(),
            *await store.jobs(without=FINAL_STATES),
            await _keep_seed(store),
        ]
        cut = self.core.restore(rows)
        await store.apply(cut)
        forgotten = await store.prune(now, finished=FINAL_STATES)
        kept = self.core.directory.restore(await store.records(now), now)
        log.info("restored", rows=len(rows), advertisements=kept, cut=len(cut), forgotten=forgotten)

    async def _join_by_memory(self) -> None:
        if not await self.wait_synced(joining.GRACE_S):
            await joining.dial_known(self.parts.network, self.core.directory.entries())

    async def _find_section(self) -> Section:
        """The registry section we may claim; anyone can check it on chain."""
        if self.parts.chain is None or self._configuration.role == "requester":
            return Section.UNREGISTERED
        entry = await self.parts.chain.fetch_registration(self.parts.keys.peer.public_key)
        return Section.UNREGISTERED if entry is None else Section.PUBLIC

    async def _advertise(self, section: Section) -> None:
        if self._configuration.role == "requester":
            return
        accounts = (build_ownership(self.parts.keys, self.parts.deployment, wall_clock()),)
        addresses = self._configuration.mesh.announce or self.parts.network.addresses
        await self._driver.perform(
            lambda now: self.core.advertise(addresses, accounts, section, now)
        )

    def _judge_gossip(self, origin: PeerId, payload: bytes) -> Verdict:
        return Verdict(self.core.judge_gossip(origin, payload, wall_clock()).outcome.value)


async def _keep_seed(store: Store) -> SettingRow:
    """Return what names the channels of this home, made at its first start."""
    kept = await store.setting(SALT_SEED)
    row = SettingRow(SALT_SEED, kept or secrets.token_bytes(32))
    if kept is None:
        await store.apply([row])
    return row


def _policies(configuration: Configuration) -> Policies:
    requester, settlement = configuration.requester, configuration.settlement
    return Policies(
        Budget(requester.auto_deposit, requester.max_deposits),
        SettlementPolicy(
            threshold=settlement.redeem_above,
            max_age_ms=Millis(settlement.redeem_every_s * 1000),
            answers_closing=settlement.answer_closing,
        ),
    )
