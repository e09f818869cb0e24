"""Changing a model under load: the new one is started beside the old, which finishes what it has.

A request that names the old one's weights is still served by it for GRACE_S, because its provider
has promised them; one that names none goes to the new one at once.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Self

import trio

from p2p_modelex.engine.abc import Engine, EngineInfo, EngineStatistics, Output
from p2p_modelex.engine.registry import open_engine
from p2p_modelex.engine.spec import EngineSpec
from p2p_modelex.errors import EngineError
from p2p_modelex.records.job import Request

GRACE_S = 30.0
"""As long as a quote binds (QUOTE_VALID_MS): until then a job for the old weights may come."""


@dataclass(slots=True, eq=False)
class _Generation:
    """One engine in its block. in_use: requests it has; `idle` is set while there are none."""

    engine: Engine
    in_use: int = 0
    retired: trio.Event = field(default_factory=trio.Event)
    idle: trio.Event = field(default_factory=trio.Event)

    def __enter__(self) -> None:
        if self.in_use == 0:
            self.idle = trio.Event()
        self.in_use += 1

    def __exit__(self, *_: object) -> None:
        self.in_use -= 1
        if self.in_use == 0:
            self.idle.set()


class SwappingEngine(Engine):
    """Runs what `spec` says, and something else when it is told, without a pause.

    Its statistics are the newest one's. open_engine: as in registry. Entering raises what entering
    the engine does.
    """

    def __init__(
        self, spec: EngineSpec, open_engine: Callable[[EngineSpec], Engine] = open_engine
    ) -> None:
        self.spec = spec
        """What was asked for last, and runs."""
        self._open_engine = open_engine
        self._current: _Generation | None = None
        self._retired: list[_Generation] = []
        self._swapping = trio.Lock()

    async def __aenter__(self) -> Self:
        self._nursery = trio.open_nursery()
        self._keeper = await self._nursery.__aenter__()
        try:
            self._current = await self._begin(self.spec)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        # The body's exception is not the nursery's: passing it in would wrap it in a group.
        self._keeper.cancel_scope.cancel()
        await self._nursery.__aexit__(None, None, None)

    async def swap(self, spec: EngineSpec) -> None:
        """Start an engine beside the one there is, and send it all requests once it is ready.

        Returns then; the old one ends GRACE_S later, when it has no request. Raises what entering
        the engine raises, and then nothing has changed. One swap at a time; others wait.
        """
        async with self._swapping:
            old = self._get_current()
            self._current = await self._begin(spec)
            self.spec = spec
            self._retired.append(old)
            old.retired.set()

    async def _begin(self, spec: EngineSpec) -> _Generation:
        generation: _Generation = await self._keeper.start(self._keep, self._open_engine(spec))
        return generation

    async def _keep(self, engine: Engine, *, task_status: Any) -> None:
        """Hold an engine open until it is retired and drained; tell `start` its generation."""
        async with engine:
            generation = _Generation(engine)
            task_status.started(generation)
            await generation.retired.wait()
            await trio.sleep(GRACE_S)
            self._retired.remove(generation)
            while generation.in_use:
                await generation.idle.wait()

    def _get_current(self) -> _Generation:
        if self._current is None:
            raise EngineError("the engine has not been started")
        return self._current

    def _find(self, request: Request) -> _Generation:
        """Return who serves a request: the newest, unless it names the weights of an older one."""
        current = self._get_current()
        if request.weights != current.engine.info.weights:
            for one in self._retired:
                if request.weights == one.engine.info.weights:
                    return one
        return current

    @property
    def info(self) -> EngineInfo:
        """What the newest has loaded; only inside the block."""
        return self._get_current().engine.info

    @property
    def is_ready(self) -> bool:
        """See Engine."""
        return self._get_current().engine.is_ready

    def statistics(self) -> EngineStatistics:
        """See Engine."""
        return self._get_current().engine.statistics()

    async def count_tokens(self, request: Request) -> int:
        """See Engine."""
        generation = self._find(request)
        with generation:
            return await generation.engine.count_tokens(request)

    async def generate(self, request: Request) -> AsyncGenerator[Output, None]:
        """See Engine."""
        generation = self._find(request)
        with generation:
            async with aclosing(generation.engine.generate(request)) as outputs:
                async for output in outputs:
                    yield output
