"""The processes: started, killed, frozen, and started again whatever ended them."""

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import trio

from tests.chaos.schedule import Blow
from tests.chaos.stage import BUYERS, PASSPHRASE, Stage

RESTART_S = 0.5
"""After an end that was not planned, as of a node that found no chain to start with."""
LEAVE_S = 60.0


@dataclass(slots=True)
class Actor:
    """One process at a time. back_s: how long to stay away, after a kill of ours."""

    name: str
    command: list[str]
    log: Path
    process: trio.Process | None = None
    back_s: float | None = None
    started_at: int = 0
    """Bytes of the log before the newest life."""


@dataclass(slots=True)
class Troupe:
    """All processes. exits: (name, exit code, last words) of those that ended by themselves."""

    stage: Stage
    say: Callable[[str], None]
    actors: dict[str, Actor] = field(default_factory=dict)
    starts: Counter[str] = field(default_factory=Counter)
    blows: Counter[tuple[str, str]] = field(default_factory=Counter)
    exits: list[tuple[str, int, str]] = field(default_factory=list)
    is_leaving: bool = False

    async def keep(self, name: str, command: list[str]) -> None:
        """Run a process, again and again, until the troupe leaves or a buyer has done its work."""
        actor = self.actors[name] = Actor(name, command, self.stage.log(name))
        while not self.is_leaving:
            code = await self._live(actor)
            if self.is_leaving or (name in BUYERS and code == 0):
                return
            if actor.back_s is not None:
                await trio.sleep(actor.back_s)
                actor.back_s = None
            else:
                words = self.last_words(name)
                self.exits.append((name, code, words))
                self.say(f"{name} ended by itself: {code} {words}")
                await trio.sleep(RESTART_S)

    async def _live(self, actor: Actor) -> int:
        self.starts[actor.name] += 1
        environ = {**os.environ, "MODELEX_PASSPHRASE": PASSPHRASE}
        with actor.log.open("ab") as log:
            actor.started_at = log.tell()
            actor.process = await trio.lowlevel.open_process(
                actor.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environ
            )
        return await actor.process.wait()

    async def strike(self, blow: Blow) -> None:
        """Kill or freeze; what is dead already is left alone."""
        actor = self.actors.get(blow.name)
        process = actor.process if actor else None
        if actor is None or process is None or process.returncode is not None:
            self.say(f"  passed over, it is down: {blow}")
            return
        self.blows[blow.name, blow.kind] += 1
        if blow.kind == "kill":
            actor.back_s = blow.lasts_ms / 1000
            process.kill()
            return
        process.send_signal(signal.SIGSTOP)
        await trio.sleep(blow.lasts_ms / 1000)
        if process.returncode is None:
            process.send_signal(signal.SIGCONT)

    async def wait_up(self, name: str, timeout_s: float) -> None:
        """Wait until the newest life of a server listens."""
        deadline = time.monotonic() + timeout_s
        while not self._is_up(name):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} does not come up: {self.last_words(name)}")
            await trio.sleep(0.1)

    def _is_up(self, name: str) -> bool:
        actor = self.actors.get(name)
        if actor is None or actor.process is None or actor.process.returncode is not None:
            return False
        return b"istening on" in actor.log.read_bytes()[actor.started_at :]

    def address(self, name: str) -> str:
        """Where the newest life of a node listens."""
        actor = self.actors[name]
        said = actor.log.read_bytes()[actor.started_at :].decode(errors="replace")
        return said.partition("listening on ")[2].partition("/p2p/")[0]

    def last_words(self, name: str) -> str:
        lines = self.stage.log(name).read_text(errors="replace").splitlines()
        errors = [line for line in lines[-20:] if line.startswith("error:")]
        return (errors or lines or ["nothing"])[-1][:200]

    async def dismiss(self, names: tuple[str, ...]) -> dict[str, int]:
        """Ask processes to leave, in good order; returns their exit codes."""
        codes: dict[str, int] = {}
        async with trio.open_nursery() as nursery:
            for name in names:
                nursery.start_soon(self._dismiss, name, codes)
        return codes

    async def _dismiss(self, name: str, codes: dict[str, int]) -> None:
        process = self.actors[name].process
        assert process is not None
        if process.returncode is None:
            process.terminate()
        with trio.move_on_after(LEAVE_S):
            await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()
        codes[name] = process.returncode or 0

    def kill_all(self) -> None:
        """The last thing, whatever happened before."""
        self.is_leaving = True
        for actor in self.actors.values():
            if actor.process is not None and actor.process.returncode is None:
                actor.process.kill()
