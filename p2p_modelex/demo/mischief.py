"""A node that misbehaves on purpose, for demonstrations and attack tests.

python -m p2p_modelex.demo.mischief --home DIR [--crash-jobs N] [--advertise PRICE]
"""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import click
import msgspec

from p2p_modelex.cli.common import read_home
from p2p_modelex.cli.serve import serve
from p2p_modelex.core.parts import Shop
from p2p_modelex.engine.abc import Engine, EngineInfo, EngineStatistics, Output, Piece
from p2p_modelex.errors import EngineCrashed
from p2p_modelex.keys.signers import KeyRing
from p2p_modelex.node.assembly import open_configured_engine, open_node
from p2p_modelex.node.configuration import Configuration
from p2p_modelex.node.home import Home
from p2p_modelex.node.model_settings import ModelSettings
from p2p_modelex.node.node import Node
from p2p_modelex.node.options import PRICE
from p2p_modelex.records.job import Request
from p2p_modelex.units import Wei


class CrashingEngine(Engine):
    """Another engine whose first `jobs` jobs crash after their first piece of output."""

    def __init__(self, inner: Engine, jobs: int) -> None:
        self._inner = inner
        self._jobs = jobs

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._inner.__aexit__(*exc)

    @property
    def info(self) -> EngineInfo:
        return self._inner.info

    async def count_tokens(self, request: Request) -> int:
        return await self._inner.count_tokens(request)

    async def generate(self, request: Request) -> AsyncGenerator[Output, None]:
        crashes, self._jobs = self._jobs > 0, max(0, self._jobs - 1)
        outputs = self._inner.generate(request)
        try:
            async for output in outputs:
                yield output
                if crashes and isinstance(output, Piece):
                    raise EngineCrashed("crashed in mid-stream, on purpose")
        finally:
            await outputs.aclose()

    def statistics(self) -> EngineStatistics:
        return self._inner.statistics()


@dataclass(frozen=True)
class Mischief:
    """What to do wrong. advertise: wei a completion token that others are told, None for honest."""

    crash_jobs: int
    advertise: Wei | None

    def open_engine(self, home: Home, settings: ModelSettings) -> Engine:
        engine = open_configured_engine(home, settings)
        return CrashingEngine(engine, self.crash_jobs) if self.crash_jobs else engine

    def adjust(self, shop: Shop) -> Shop:
        """Advertise another price than the seller honours."""
        if self.advertise is None:
            return shop
        told = tuple(
            msgspec.structs.replace(offer, completion_price=self.advertise)
            for offer in shop.advertised
        )
        return Shop(shop.seller, told, shop.slots)

    def open(
        self, home: Home, configuration: Configuration, keys: KeyRing
    ) -> AbstractAsyncContextManager[Node]:
        return open_node(
            home, configuration, keys, open_engine=self.open_engine, adjust=self.adjust
        )


@click.command()
@click.option("--home", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--crash-jobs", default=0, help="Crash in the middle of this many jobs.")
@click.option("--advertise", help="Advertise this price, in AI for 1,000 completion tokens.")
def misbehave(home: Path, crash_jobs: int, advertise: str | None) -> None:
    """Run the node of a home, but misbehave."""
    mischief = Mischief(crash_jobs, PRICE.read(advertise) if advertise else None)
    place = Home(home)
    serve(place, read_home(place), mischief.open)


if __name__ == "__main__":
    misbehave()
