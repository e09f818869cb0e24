"""One worker process from the parent's side: start it, talk frames to it, end it."""

import logging
import os
import signal
import subprocess
import sys
from collections import deque

import trio

from p2p_modelex.engine import frames
from p2p_modelex.engine.abc import EngineInfo
from p2p_modelex.engine.spec import EngineSpec, encode_spec
from p2p_modelex.errors import EngineCrashed

LOG = logging.getLogger(__name__)

_LAST_LINES = 8
_LINE_BYTES = 2000
_LAST_GASP_S = 1.0
_WITHHELD = frozenset({"MODELEX_PASSPHRASE", "MODELEX_RPC_URL"})


class Child:
    """A running worker. Not thread-safe; one task reads, one writes."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._buffer = bytearray()
        self._closed = False
        self._last_lines: deque[str] = deque(maxlen=_LAST_LINES)

    @classmethod
    async def spawn(cls, spec: EngineSpec) -> "Child":
        """Start a worker process; it says Booted when the model is loaded.

        Raises EngineCrashed if the system starts no more processes.
        """
        command = [sys.executable, "-m", "p2p_modelex.engine.worker", encode_spec(spec)]
        pipe = subprocess.PIPE
        # A worker runs native code over other people's files: it need not know our passphrase.
        environ = {name: value for name, value in os.environ.items() if name not in _WITHHELD}
        try:
            process = await trio.lowlevel.open_process(
                command, stdin=pipe, stdout=pipe, stderr=pipe, env=environ
            )
        except OSError as error:
            raise EngineCrashed(f"no worker process could be started: {error}") from error
        return cls(process)

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self._process.pid

    async def read(self) -> frames.Event:
        """Return the next event; EngineCrashed if the worker ended or sent something else."""
        prefix = await self._read_exactly(frames.LENGTH_BYTES)
        return frames.decode_event(await self._read_exactly(frames.parse_length(prefix)))

    async def _read_exactly(self, count: int) -> bytes:
        stdout = self._process.stdout
        assert stdout is not None
        while len(self._buffer) < count:
            try:
                chunk = await stdout.receive_some(65_536)
            except trio.BrokenResourceError as error:
                raise EngineCrashed("the worker's pipe broke") from error
            if not chunk:
                self._closed = True
                raise EngineCrashed("the worker closed its pipe")
            self._buffer += chunk
        found = bytes(self._buffer[:count])
        del self._buffer[:count]
        return found

    async def write(self, raw: bytes) -> None:
        """Send an encoded command; EngineCrashed if the worker is gone."""
        stdin = self._process.stdin
        assert stdin is not None
        try:
            await stdin.send_all(raw)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise EngineCrashed("the worker closed its pipe") from error

    async def wait_booted(self, timeout_s: float) -> EngineInfo:
        """Return what the worker loaded.

        Raises the error it failed with (ModelRejected, Unsupported), or EngineCrashed if it died
        or took too long.
        """
        with trio.move_on_after(timeout_s):
            event = await self.read()
            if isinstance(event, frames.Booted):
                return event.info
            if isinstance(event, frames.Failed):
                raise frames.unpack_error(event)
            raise EngineCrashed(f"the worker began with {type(event).__name__}")
        raise EngineCrashed(f"the model was not loaded within {timeout_s:g} s")

    async def follow_log(self) -> None:
        """Pass the worker's standard error on to our log, until it ends."""
        stderr = self._process.stderr
        assert stderr is not None
        partial = b""
        async for chunk in stderr:
            *lines, partial = (partial + chunk).split(b"\n")
            partial = partial[-_LINE_BYTES:]
            for line in lines:
                self._note(line[:_LINE_BYTES].decode("utf-8", "replace").rstrip())

    def _note(self, line: str) -> None:
        if line:
            self._last_lines.append(line)
            LOG.log(logging.WARNING if line.startswith("WARNING") else logging.DEBUG, "%s", line)

    async def end(self) -> str:
        """Kill the worker, reap it, and return how it ended, in words."""
        with trio.CancelScope(shield=True):
            if self._closed:
                # It is ending by itself: let it, so that we learn of what it died.
                with trio.move_on_after(_LAST_GASP_S):
                    await self._process.wait()
            self._process.kill()
            code = await self._process.wait()
            for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
                if stream is not None:
                    await stream.aclose()
        last = f"; it last said: {' | '.join(self._last_lines)}" if self._last_lines else ""
        return f"{_describe(code)}{last}"


def _describe(code: int) -> str:
    if code >= 0:
        return f"worker exited with {code}"
    try:
        return f"worker ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"worker ended by signal {-code}"
