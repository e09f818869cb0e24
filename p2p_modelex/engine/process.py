"""The engine behind a pipe: a worker process, watched and restarted, as an Engine."""

import logging
from collections.abc import AsyncGenerator, Awaitable
from contextlib import suppress
from typing import Self

import trio

from p2p_modelex.engine import frames
from p2p_modelex.engine.abc import (
    Engine,
    EngineInfo,
    EngineStatistics,
    Output,
)
from p2p_modelex.engine.admission import Admission
from p2p_modelex.engine.child import Child
from p2p_modelex.engine.jobs import Job, Jobs
from p2p_modelex.engine.spec import EngineSpec
from p2p_modelex.errors import EngineBusy, EngineCrashed, EngineError, ModelexError, Unsupported
from p2p_modelex.records.job import Request

LOG = logging.getLogger(__name__)

# Counting is quick; this many at once is more than a node's quotes ever need.
COUNTS_MAX = 32
BACKOFF_FIRST_S = 0.2
BACKOFF_MAX_S = 30.0
_ANY_WEIGHTS = bytes(32)


class ProcessEngine(Engine):
    """Runs the engine of `spec` in a worker process. Use as `async with ProcessEngine(spec)`.

    Entering raises ModelRejected, Unsupported or EngineCrashed if the model does not load. A
    worker that dies or stalls costs the jobs it had, each ending in EngineCrashed; requests that
    wait go to its successor.
    """

    def __init__(self, spec: EngineSpec) -> None:
        self._spec = spec
        self._next_job = 1
        self._restarts = 0
        self._ready = trio.Event()
        self._gave_up: EngineCrashed | None = None
        self._info: EngineInfo | None = None
        self._child: Child | None = None

    async def __aenter__(self) -> Self:
        self._child = child = await self._boot()
        self._admission = Admission(self.info.slots, self._spec.waiting_max)
        self._jobs = Jobs(self._admission)
        self._counts = trio.CapacityLimiter(COUNTS_MAX)
        self._nursery = trio.open_nursery()
        nursery = await self._nursery.__aenter__()
        self._scope = nursery.cancel_scope
        nursery.start_soon(self._keep_running, child)
        return self

    async def __aexit__(self, *exc: object) -> None:
        # The body's exception is not the nursery's: passing it in would wrap it in a group.
        self._gave_up = EngineCrashed("the engine is closed")
        self._scope.cancel()
        await self._nursery.__aexit__(None, None, None)

    @property
    def info(self) -> EngineInfo:
        """What is loaded; only inside the block."""
        if self._info is None:
            raise EngineError("the engine has not been started")
        return self._info

    @property
    def pid(self) -> int | None:
        """The worker's process id, None while there is none."""
        return self._child.pid if self._child else None

    def statistics(self) -> EngineStatistics:
        """See Engine."""
        return self._jobs.statistics(self._restarts)

    async def count_tokens(self, request: Request) -> int:
        """See Engine."""
        self._check_weights(request)
        async with self._counts:
            await self._wait_ready()
            job = self._submit(frames.Count(self._next_job, request), trio.current_time())
            try:
                answer = await job.inlet.receive()
            finally:
                job.inlet.close()
        if isinstance(answer, ModelexError):
            raise answer
        assert isinstance(answer, frames.Counted)
        return answer.prompt_tokens

    async def generate(self, request: Request) -> AsyncGenerator[Output, None]:
        """See Engine."""
        self._check_weights(request)
        began = trio.current_time()
        await self._admission.acquire()
        try:
            await self._wait_ready()
            job = self._submit(frames.Run(self._next_job, request), began)
        except BaseException:
            self._admission.release()
            raise
        try:
            async for output in job.inlet:
                if isinstance(output, ModelexError):
                    raise output
                assert not isinstance(output, frames.Counted)
                yield output
        finally:
            job.inlet.close()
            self._stop(job.number)

    def _check_weights(self, request: Request) -> None:
        if request.weights not in (_ANY_WEIGHTS, self.info.weights):
            raise Unsupported("the request asks for other weights than are loaded")

    async def _wait_ready(self) -> None:
        with trio.move_on_after(self._spec.startup_s + BACKOFF_MAX_S):
            while not self._ready.is_set() and self._gave_up is None:
                await self._ready.wait()
        if self._gave_up is not None:
            raise EngineCrashed(self._gave_up.message, hint=self._gave_up.hint)
        if not self._ready.is_set():
            raise EngineCrashed("the worker did not come back in time")

    def _submit(self, command: frames.Run | frames.Count, began: float) -> Job:
        raw = frames.encode(command)
        try:
            self._outbox.send_nowait(raw)
        except trio.WouldBlock:
            raise EngineBusy("the worker reads too slowly", retry_after_ms=1000) from None
        except trio.BrokenResourceError:
            raise EngineCrashed("the worker is being restarted") from None
        self._next_job += 1
        return self._jobs.add(command, began)

    def _stop(self, number: int) -> None:
        if number in self._jobs:
            with suppress(trio.WouldBlock, trio.BrokenResourceError):
                self._outbox.send_nowait(frames.encode(frames.Stop(number)))

    async def _boot(self) -> Child:
        child = await Child.spawn(self._spec)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(child.follow_log)
                try:
                    self._info, failure = await child.wait_booted(self._spec.startup_s), None
                except ModelexError as error:
                    failure = error
                nursery.cancel_scope.cancel()
        except BaseException:
            await child.end()
            raise
        if failure is not None:
            ending = await child.end()
            if isinstance(failure, EngineCrashed):
                raise EngineCrashed(f"{failure.message} ({ending})") from failure
            raise failure
        return child

    async def _keep_running(self, child: Child | None) -> None:
        """Serve with one worker after another until there were too many failures in a row."""
        failures = 0
        while True:
            before = self._jobs.finished
            crash = await (self._serve(child) if child else self._retry_boot())
            if isinstance(crash, Child):
                child = crash
                continue
            child = None
            failures = 1 if self._jobs.finished > before else failures + 1
            LOG.warning("engine %s: %s", self._spec.engine, crash)
            if failures > self._spec.restarts_max:
                break
            await trio.sleep(min(BACKOFF_FIRST_S * 2 ** (failures - 1), BACKOFF_MAX_S))
        self._gave_up = EngineCrashed(
            f"the worker failed {failures} times in a row; last: {crash}",
            hint="Look at the log, then restart the node.",
        )
        self._ready.set()

    async def _retry_boot(self) -> Child | ModelexError:
        self._restarts += 1
        try:
            return await self._boot()
        except ModelexError as error:
            return error

    async def _serve(self, child: Child) -> ModelexError:
        """Carry frames until the worker fails; return why. Its jobs are told."""
        crash: EngineCrashed | None = None
        self._outbox, pending = trio.open_memory_channel[bytes](2 * (self.info.slots + COUNTS_MAX))
        self._child = child
        self._ready.set()
        try:
            async with trio.open_nursery() as nursery:

                async def guard(carrying: Awaitable[None]) -> None:
                    nonlocal crash
                    try:
                        await carrying
                    except EngineCrashed as error:
                        crash = crash or error
                        nursery.cancel_scope.cancel()

                nursery.start_soon(guard, self._carry_in(child))
                nursery.start_soon(guard, self._carry_out(child, pending))
                nursery.start_soon(guard, self._watch())
                nursery.start_soon(child.follow_log)
        finally:
            self._child, self._ready = None, trio.Event()
            pending.close()
            ending = await child.end()
            told = EngineCrashed(f"{crash.message if crash else 'engine closed'} ({ending})")
            self._jobs.fail_all(told.message)
        return told

    async def _carry_out(self, child: Child, pending: trio.MemoryReceiveChannel[bytes]) -> None:
        async for raw in pending:
            await child.write(raw)

    async def _carry_in(self, child: Child) -> None:
        while True:
            self._jobs.on_event(await child.read())

    async def _watch(self) -> None:
        """Raise EngineCrashed when a job has been silent for stall_s."""
        stall_s = self._spec.stall_s
        while True:
            await trio.sleep(stall_s / 4)
            if trio.current_time() - self._jobs.oldest_sign_of_life() > stall_s:
                raise EngineCrashed(f"no sign of life from the worker for {stall_s:g} s")
