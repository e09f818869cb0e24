"""The registry's effects: reads it, follows it, anchors in it, and reports what comes of that."""

from collections.abc import Awaitable, Callable
from contextlib import aclosing

import structlog
import trio

from p2p_modelex import limits
from p2p_modelex.chain.abc import REGISTRY_PAGE_MAX, Chain
from p2p_modelex.core.effects import PutAnchor, ReadRatings, ReadRegistry
from p2p_modelex.core.inputs import (
    AnchorFailed,
    AnchorPut,
    Input,
    RatingsRead,
    RegistryChanged,
    RegistryLost,
    RegistryRead,
)
from p2p_modelex.errors import ChainError
from p2p_modelex.ids import PublicKey

log = structlog.get_logger(__name__)
Tell = Callable[[Input], Awaitable[None]]


class Registry:
    """Carries out a core's registry effects. A node without a chain follows nothing."""

    def __init__(self, chain: Chain | None, tell: Tell, nursery: trio.Nursery) -> None:
        self._chain = chain
        self._tell = tell
        self._nursery = nursery
        self._following = trio.CancelScope()

    def read(self, effect: ReadRegistry) -> None:
        self._following.cancel()
        self._following = trio.CancelScope()
        if self._chain is not None:
            self._nursery.start_soon(self._read, self._chain, effect.peer, self._following)

    def anchor(self, effect: PutAnchor) -> None:
        if self._chain is not None:
            self._nursery.start_soon(self._anchor, self._chain, effect)

    def rate(self, effect: ReadRatings) -> None:
        if self._chain is not None:
            self._nursery.start_soon(self._rate, self._chain, effect)

    async def _rate(self, chain: Chain, effect: ReadRatings) -> None:
        try:
            ratings = await chain.fetch_ratings(effect.nodes, effect.evaluators)
        except ChainError as error:
            log.warning("ratings_unreadable", reason=str(error))
            return
        peers = [peer for peer, _ in effect.nodes]
        await self._tell(RatingsRead(tuple(zip(peers, ratings, strict=True))))

    async def _read(self, chain: Chain, peer: PublicKey, scope: trio.CancelScope) -> None:
        with scope:
            try:
                block = await self._read_pages(chain, peer)
                async with aclosing(chain.registry_events(block + 1)) as events:
                    async for event in events:
                        await self._tell(RegistryChanged(event))
            except ChainError as error:
                log.warning("registry_unreadable", reason=str(error))
                await self._tell(RegistryLost())

    async def _read_pages(self, chain: Chain, peer: PublicKey) -> int:
        """Read as much as a core keeps, all of one block; returns which."""
        own = await chain.fetch_registration(peer)
        page = await chain.fetch_registry(0, REGISTRY_PAGE_MAX)
        entries = page.entries if own is None else (own, *page.entries)
        offset, most = REGISTRY_PAGE_MAX, min(page.total, limits.REGISTRY_ENTRIES_MAX)
        await self._tell(RegistryRead(entries, is_first=True, is_last=offset >= most))
        while offset < most:
            page = await chain.fetch_registry(offset, REGISTRY_PAGE_MAX, page.block)
            offset += REGISTRY_PAGE_MAX
            await self._tell(RegistryRead(page.entries, is_first=False, is_last=offset >= most))
        return page.block

    async def _anchor(self, chain: Chain, effect: PutAnchor) -> None:
        try:
            entry = await chain.fetch_registration(effect.peer)
            if entry is None or entry.digest != effect.digest:
                # The URI is the operator's, set beside us.
                uri = "" if entry is None else entry.uri
                transaction = await chain.register(effect.peer, effect.digest, effect.sequence, uri)
                log.info("anchored", transaction="0x" + transaction.hex())
        except ChainError as error:
            log.warning("anchor_failed", reason=str(error))
            await self._tell(AnchorFailed())
        else:
            await self._tell(AnchorPut())
