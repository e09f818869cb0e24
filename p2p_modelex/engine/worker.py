"""The child process that holds the native engine: `python -m p2p_modelex.engine.worker SPEC`.

SPEC is an EngineSpec as JSON. Frames (frames.py) come on standard input and leave on a duplicate
of standard output; the original is pointed at standard error, because native code prints. The end
of standard input, which the parent's death brings too, ends the process at once.
"""

import contextlib
import logging
import os
import queue
import sys
import threading
from functools import lru_cache
from typing import BinaryIO

from p2p_modelex.engine import frames
from p2p_modelex.engine.backend import Backend, Steps
from p2p_modelex.engine.registry import open_backend
from p2p_modelex.engine.spec import EngineSpec, decode_spec
from p2p_modelex.errors import EngineError, ModelexError

PROMPTS_KEPT = 16
"""Prompts remembered between counting and running; at most limits.PROMPT_BYTES of text each."""


class Worker:
    """Runs commands on a backend and writes events. One instance a process."""

    def __init__(self, backend: Backend, out: "Outlet") -> None:
        self._backend = backend
        # A node counts a prompt and then runs it; with xllamacpp, building one costs 8 ms.
        self._build_prompt = lru_cache(PROMPTS_KEPT)(backend.build_prompt)
        self._out = out
        self._commands: queue.SimpleQueue[frames.Run | frames.Count] = queue.SimpleQueue()
        self._stops: set[int] = set()
        self._jobs: set[int] = set()

    def submit(self, command: frames.Command) -> None:
        """Take a command from the reading thread."""
        if isinstance(command, frames.Stop):
            if command.job in self._jobs:
                self._stops.add(command.job)
            return
        self._jobs.add(command.job)
        self._commands.put(command)

    def work(self) -> None:
        """Serve commands for ever. As many threads call this as the backend can use."""
        while True:
            self._serve(self._commands.get())

    def _serve(self, command: frames.Run | frames.Count) -> None:
        try:
            prompt = self._build_prompt(command.request)
            if isinstance(command, frames.Count):
                self._out.write(frames.Counted(command.job, len(prompt)))
            else:
                self._out.write(frames.Admitted(command.job, len(prompt)))
                self._run(command, prompt)
        except ModelexError as error:
            self._out.write(frames.pack_error(command.job, error))
        except Exception as error:  # a bug in an engine's Python must not look like a hang
            logging.getLogger(__name__).exception("job %d", command.job)
            self._out.write(frames.pack_error(command.job, EngineError(repr(error))))
        finally:
            self._jobs.discard(command.job)
            self._stops.discard(command.job)

    def _run(self, command: frames.Run, prompt: tuple[int, ...]) -> None:
        job = command.job
        steps: Steps = self._backend.run(command.request, prompt, lambda: job in self._stops)
        tokens = cached = 0
        with contextlib.closing(steps):
            while True:
                try:
                    step = next(steps)
                except StopIteration as end:
                    self._out.write(frames.Ended(job, end.value, len(prompt), tokens, cached))
                    return
                tokens += step.tokens
                cached += step.cached
                if step.text or step.tokens:
                    event = frames.Produced(job, step.text, step.tokens, step.logprobs)
                    self._out.write(event)
                else:
                    self._out.write(frames.Alive(job))
                if not self._backend.concurrent:
                    self._serve_counts()

    def _serve_counts(self) -> None:
        """Count prompts between the steps of a job; the parent sends no second job meanwhile."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._serve(self._commands.get_nowait())


class Outlet:
    """Writes whole frames, from any thread."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._lock = threading.Lock()

    def write(self, event: frames.Event) -> None:
        """Write one frame; the process ends if nobody reads any more."""
        raw = frames.encode(event)
        with self._lock:
            try:
                self._file.write(raw)
                self._file.flush()
            except OSError:
                os._exit(0)


def _read_commands(source: BinaryIO, worker: Worker) -> None:
    """Feed the worker until the parent is gone, then end without waiting for native code."""
    while len(prefix := source.read(frames.LENGTH_BYTES)) == frames.LENGTH_BYTES:
        length = frames.parse_length(prefix)
        worker.submit(frames.decode_command(source.read(length)))
    os._exit(0)


def main(spec: EngineSpec) -> None:
    """Load, then serve until standard input ends."""
    source = os.fdopen(os.dup(0), "rb")
    out = Outlet(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)
    with open(os.devnull, "rb") as null:  # noqa: PTH123 - a descriptor is what is wanted
        os.dup2(null.fileno(), 0)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    # Nothing the node does downloads behind its back; engines' hub code is told so too.
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        backend = open_backend(spec)
    except ModelexError as error:
        out.write(frames.pack_error(0, error))
        return
    worker = Worker(backend, out)
    # One thread more than slots where the engine allows, so that counting never waits for jobs.
    for _ in range(backend.info.slots + 1 if backend.concurrent else 1):
        threading.Thread(target=worker.work, daemon=True).start()
    out.write(frames.Booted(backend.info))
    _read_commands(source, worker)


if __name__ == "__main__":
    main(decode_spec(sys.argv[1]))
