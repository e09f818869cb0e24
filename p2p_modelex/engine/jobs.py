"""The jobs a worker has, from the parent's side: where their output goes and when they end."""

import math
from dataclasses import dataclass

import trio

from p2p_modelex.engine import frames
from p2p_modelex.engine.abc import Done, EngineStatistics, Output, Piece, Started
from p2p_modelex.engine.admission import Admission
from p2p_modelex.errors import EngineCrashed, ModelexError

Delivery = Output | frames.Counted | ModelexError


@dataclass(slots=True)
class Job:
    """A command the worker has not finished.

    began: when the request came; heard: when the worker last gave a sign of life (both
    trio.current_time). spoke: whether output has come.
    """

    number: int
    outlet: trio.MemorySendChannel[Delivery]
    inlet: trio.MemoryReceiveChannel[Delivery]
    began: float
    heard: float
    holds_slot: bool
    spoke: bool = False


class Jobs:
    """All jobs of one engine. A job's slot is given back when its last word has come."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._jobs: dict[int, Job] = {}
        self._finished = self._failed = 0
        self._prompt_tokens = self._cached_tokens = 0

    def __contains__(self, number: int) -> bool:
        return number in self._jobs

    @property
    def finished(self) -> int:
        """How many came to their end."""
        return self._finished

    def statistics(self, restarts: int) -> EngineStatistics:
        """Return a snapshot; `restarts` is not ours to know."""
        return EngineStatistics(
            running=self._admission.running,
            waiting=self._admission.waiting,
            finished=self._finished,
            failed=self._failed,
            restarts=restarts,
            first_token_ms=self._admission.first_token_ms,
            prompt_tokens=self._prompt_tokens,
            cached_tokens=self._cached_tokens,
        )

    def add(self, command: frames.Run | frames.Count, began: float) -> Job:
        """Begin to follow a command."""
        running = isinstance(command, frames.Run)
        # A piece has a token or ends a held-back text, so this much is never exceeded.
        room = 2 * command.request.max_tokens + 8 if running else 1
        outlet, inlet = trio.open_memory_channel[Delivery](room)
        job = Job(command.job, outlet, inlet, began, trio.current_time(), running)
        self._jobs[command.job] = job
        return job

    def oldest_sign_of_life(self) -> float:
        """Return when the quietest job was last heard of; infinity if there are none."""
        return min((job.heard for job in self._jobs.values()), default=math.inf)

    def on_event(self, event: frames.Event) -> None:
        """Take what the worker says; EngineCrashed if it makes no sense."""
        if isinstance(event, frames.Booted):
            raise EngineCrashed("the worker said Booted twice")
        job = self._jobs.get(event.job)
        if job is None:
            return
        job.heard = trio.current_time()
        match event:
            case frames.Admitted():
                self._deliver(job, Started(event.prompt_tokens))
            case frames.Produced():
                if not job.spoke:
                    job.spoke = True
                    self._admission.note_first_token(job.began)
                self._deliver(job, Piece(event.text, event.tokens, event.logprobs))
            case frames.Alive():
                pass
            case frames.Counted():
                self._settle(job, event)
            case frames.Ended():
                # A worker holds native code: what it says is bounded.
                cached = min(max(event.cached_tokens, 0), event.prompt_tokens)
                self._prompt_tokens += event.prompt_tokens
                self._cached_tokens += cached
                self._settle(
                    job, Done(event.finish, event.prompt_tokens, event.completion_tokens, cached)
                )
            case frames.Failed():
                self._settle(job, frames.unpack_error(event))

    def fail_all(self, message: str) -> None:
        """End every job with EngineCrashed: the worker is gone."""
        for job in list(self._jobs.values()):
            self._settle(job, EngineCrashed(message, hint="Ask again, or another node."))

    def _deliver(self, job: Job, delivery: Delivery) -> None:
        try:
            job.outlet.send_nowait(delivery)
        except trio.BrokenResourceError:
            return  # nobody listens: the job was stopped and its last frames are under way
        except trio.WouldBlock:
            raise EngineCrashed("the worker produced more than was asked for") from None

    def _settle(self, job: Job, last: Delivery) -> None:
        """Deliver the last word of a job and free its slot."""
        del self._jobs[job.number]
        if job.holds_slot:
            self._admission.release()
            self._admission.note_finished(job.began)
            self._finished += isinstance(last, Done)
            self._failed += not isinstance(last, Done)
        try:
            self._deliver(job, last)
        finally:
            job.outlet.close()
