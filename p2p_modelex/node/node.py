"""A running node: its parts wired together from a home, and what callers may do with it."""

import random
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog
import trio

from p2p_modelex import __version__
from p2p_modelex.core.choosing import Look
from p2p_modelex.core.effects import Effect, Persist, RunEvent, RunFailed, RunFinished
from p2p_modelex.core.inputs import CancelRun, RunRequested, ShutDown
from p2p_modelex.core.node import NodeCore
from p2p_modelex.core.parts import Identity, Shop
from p2p_modelex.core.routing.candidate import Candidate
from p2p_modelex.core.routing.decision import Decision
from p2p_modelex.core.verdict import Verdict as Judged
from p2p_modelex.ids import JobId, PeerId, PublicKey
from p2p_modelex.net.abc import Validator, Verdict
from p2p_modelex.node import joining
from p2p_modelex.node.configuration import Configuration
from p2p_modelex.node.driver import Driver, wall_clock
from p2p_modelex.node.farms import NO_FARMS, Farms
from p2p_modelex.node.parts import Parts
from p2p_modelex.node.policies import build_policies
from p2p_modelex.node.restoring import restore
from p2p_modelex.node.shop import build_ownership, restock
from p2p_modelex.records.advertisement import Offer
from p2p_modelex.records.job import Load
from p2p_modelex.records.rows import Row
from p2p_modelex.units import Epoch, UnixMs, Wei

AGENT = f"modelex/{__version__}"
SHUTDOWN_GRACE_S = 30.0
"""Jobs in hand may finish for this long; a cut job's payer owes only what it got."""

WATCH_INTERVAL_S = 1.0
"""How often a node looks whether its engines are what they were; it costs 50 us."""

FLUSH_S = 3.0
"""What is queued on streams may go out for this long."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Survey:
    """Who could serve a run. loads: of those that said it. why_none: where there is nobody."""

    candidates: tuple[Candidate, ...]
    loads: Mapping[PeerId, Load]
    why_none: str


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
        policies = build_policies(configuration)
        self.core = NodeCore(identity, policies, shop, random.SystemRandom(), AGENT)
        self._driver = Driver(
            self.core, parts.network, parts.store, parts.chain, parts.engines, wall_clock
        )
        self._steps = self._driver.steps
        for topic, judge in self.core.gossip.items():
            parts.network.subscribe(topic, _build_validator(judge))

    @property
    def peer(self) -> PeerId:
        return self.parts.keys.peer.peer

    @property
    def offers(self) -> tuple[Offer, ...]:
        """What it sells itself, at the prices it started with."""
        return () if self._shop is None else self._shop.advertised

    @asynccontextmanager
    async def serve(self) -> AsyncGenerator[None, None]:
        """Join the mesh and serve until the block ends."""
        await restore(self.core, self.parts, self._configuration)
        async with self._driver.run(), trio.open_nursery() as nursery:
            await self.join_farms(self._farms)
            await self._advertise()
            nursery.start_soon(self._join_by_memory)
            nursery.start_soon(self._watch_engines)
            yield
            nursery.cancel_scope.cancel()

    async def leave(self) -> None:
        """Refuse new jobs, take the advertisement back, and let jobs in hand finish for a while."""
        await self._steps.perform(lambda now: self.core.step(ShutDown(), now))
        await self._steps.perform(self.core.withdraw)
        with trio.move_on_after(SHUTDOWN_GRACE_S):
            await self._steps.wait_until(lambda: self.core.is_idle)
        # The last vouchers and the withdrawal are still on their way.
        with trio.move_on_after(FLUSH_S):
            await self._driver.wait_quiet()

    @property
    def epoch(self) -> Epoch:
        """The token's split epoch, as far as the node knows."""
        return self.core.splits.epoch

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition on the core holds."""
        await self._steps.wait_until(condition)

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
        self, build: Callable[[JobId], RunRequested], job: JobId | None = None
    ) -> AsyncGenerator[AsyncGenerator[RunEvent, None], None]:
        """Begin a run and give its events; leaving the block early cancels it. job: its name, None
        for a new one.
        """
        job = job or JobId(secrets.token_bytes(16))
        events = self._driver.listen(job)
        await self._steps.tell(build(job))
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
                    await self._steps.tell(CancelRun(job))

    async def explain(self, wanted: RunRequested) -> Decision:
        """Say whom a run would be ordered from, and why, without ordering it."""
        looks: list[Look] = []

        def ask(now: UnixMs) -> list[Effect]:
            look, effects = self.core.look(wanted, now)
            looks.append(look)
            return list(effects)

        await self._steps.perform(ask)
        await self.wait_until(lambda: self.core.choosing.is_ready(looks[0]))
        return self.core.choosing.explain(looks[0], wall_clock())

    async def survey(self, wanted: RunRequested, known: Sequence[PeerId]) -> Survey:
        """Say who could serve a run now, and how busy they are; nothing is ordered."""
        found: list[tuple[tuple[Candidate, ...], str]] = []

        def ask(now: UnixMs) -> list[Effect]:
            candidates, why, effects = self.core.survey(wanted, known, now)
            found.append((candidates, why))
            return list(effects)

        await self._steps.perform(ask)
        candidates, why = found[0]
        peers = [candidate.peer for candidate in candidates]
        await self.wait_until(lambda: not self.core.choosing.is_waiting(peers))
        now = wall_clock()
        book = self.core.choosing.router.loads
        loads = {peer: load for peer in peers if (load := book.get(peer, now))}
        return Survey(candidates, loads, why)

    async def keep(self, rows: Sequence[Row]) -> None:
        """Make rows durable, in the order of the node's own; they are when this returns."""
        await self._steps.perform(lambda _: [Persist(tuple(rows))])

    async def join_farms(self, farms: Farms) -> None:
        """Be a member and the owner of these farms from now on, and of no others."""
        await self._steps.perform(
            lambda now: self.core.farming.join(farms.certificates, farms.owned, farms.records, now)
        )

    async def ask_farm(self, farm: PublicKey) -> None:
        """Ask members of a farm for its record, if that was not asked for lately; returns when one
        has answered, or none did in time.
        """
        machine = self.core.farming.machine
        await self._steps.perform(lambda now: machine.ask(farm, now))
        await self.wait_until(lambda: not machine.is_asking(farm))

    async def cancel(self, job: JobId) -> None:
        """End a run early; what came is paid, and its events end as those of any other run."""
        await self._steps.tell(CancelRun(job))

    async def _join_by_memory(self) -> None:
        if not await self.wait_synced(joining.GRACE_S):
            await joining.dial_known(self.parts.network, self.core.directory.entries())

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
                self.core.stock(shop, wall_clock())
                await self._advertise()
                log.info("restocked", models=[offer.model for offer in shop.advertised])

    async def _advertise(self) -> None:
        if self._configuration.role == "requester":
            return
        accounts = (build_ownership(self.parts.keys, self.parts.deployment, wall_clock()),)
        addresses = self._configuration.mesh.announce or self.parts.network.addresses
        await self._steps.perform(lambda now: self.core.advertise(addresses, accounts, now))


def _build_validator(judge: Callable[[PeerId, bytes, UnixMs], Judged]) -> Validator:
    """Return the network's form of who judges a topic."""
    return lambda origin, payload: Verdict(judge(origin, payload, wall_clock()).outcome.value)
