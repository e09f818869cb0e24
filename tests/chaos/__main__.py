"""`make chaos SEED=1 JOBS=200`: play, strike, calm down, reckon, report."""

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import click
import trio

from p2p_modelex.chain.deployment import write_deployment
from p2p_modelex.chain.devnet import TEST_KEYS, grant
from p2p_modelex.chain.evm.deploy import deploy
from p2p_modelex.chain.evm.plan import Terms
from p2p_modelex.ids import format_peer_id
from p2p_modelex.units import Wei
from tests.chaos.books import CHALLENGE_S, Reckoning, find_strangers, reckon
from tests.chaos.journal import Journal, Told, sum_up
from tests.chaos.schedule import Blow, build_schedule
from tests.chaos.stage import (
    BOOTSTRAP,
    BUYERS,
    CHAIN,
    NAMES,
    NODES,
    PURSE,
    SELLERS,
    Stage,
    find_free_port,
)
from tests.chaos.troupe import Troupe

START_S = 300.0
PLAY_S = 900.0
CALM_S = 180.0
MEET_S = 60.0
LOOK_S = 0.05


class Play:
    """One run from its seed to its report."""

    def __init__(self, folder: Path, seed: int, jobs: int) -> None:
        self._began = time.monotonic()
        self._seed = seed
        self._jobs = jobs
        self._stage = Stage(folder, find_free_port(), find_free_port())
        self._troupe = Troupe(self._stage, self.say)
        self._schedule = build_schedule(seed, jobs, NAMES)

    def say(self, text: str) -> None:
        click.echo(f"{time.monotonic() - self._began:6.1f}  {text}")

    async def run(self) -> Reckoning:
        """Everything; the processes are gone when it returns, however it returns."""
        try:
            async with trio.open_nursery() as nursery:
                await self._open(nursery)
                with trio.fail_after(PLAY_S):
                    await self._play(nursery)
                with trio.fail_after(CALM_S):
                    await self._calm(nursery)
                strangers = await self._wait_met()
                codes = await self._leave()
                found = await reckon(self._stage)
                found.faults += strangers
                found.faults += [f"{n} left with {code}" for n, code in codes.items() if code]
                self._find_bugs(found)
                self._troupe.kill_all()
                nursery.cancel_scope.cancel()
        finally:
            self._troupe.kill_all()
        return found

    async def _open(self, nursery: trio.Nursery) -> None:
        stage, troupe = self._stage, self._troupe
        nursery.start_soon(troupe.keep, CHAIN, stage.command(CHAIN, 0, 0))
        await troupe.wait_up(CHAIN, START_S)
        deployment = await deploy(stage.url, TEST_KEYS[0], name="chaos", terms=Terms(CHALLENGE_S))
        stage.deployment = deployment
        write_deployment(stage.network_file, deployment)
        stage.make_homes()
        purses = {stage.keys[name].account.address: PURSE for name in BUYERS}
        gas = {stage.keys[name].account.address: Wei(0) for name in SELLERS}
        await grant(stage.url, deployment, purses | gas)
        for name in (BOOTSTRAP, *SELLERS):
            nursery.start_soon(troupe.keep, name, stage.command(name, 0, 0))
        for name in (BOOTSTRAP, *SELLERS):
            await troupe.wait_up(name, START_S)
        self.say("up: a chain, a bootstrap peer, 3 providers")

    async def _play(self, nursery: trio.Nursery) -> None:
        wanted = -(-self._jobs // len(BUYERS))
        for name in BUYERS:
            command = self._stage.command(name, self._seed, wanted)
            nursery.start_soon(self._troupe.keep, name, command)
        async with trio.open_nursery() as blows:
            for blow in self._schedule:
                while sum(told.begun for told in self._told()) < blow.after:
                    await trio.sleep(LOOK_S)
                blows.start_soon(self._strike, blow)
            while sum(len(told.done) for told in self._told()) < wanted * len(BUYERS):
                await trio.sleep(LOOK_S)
        self.say(f"{wanted * len(BUYERS)} jobs are receipted")

    async def _strike(self, blow: Blow) -> None:
        await trio.sleep(blow.pause_ms / 1000)
        self.say(str(blow))
        await self._troupe.strike(blow)

    def _told(self) -> list[Told]:
        return [sum_up(Journal(self._stage.journal(name)).read()) for name in BUYERS]

    async def _calm(self, nursery: trio.Nursery) -> None:
        """No more blows: a few jobs between each pair settle what is in doubt."""
        for name in (CHAIN, BOOTSTRAP, *SELLERS):
            await self._troupe.wait_up(name, START_S)
        for name in BUYERS:
            process = self._troupe.actors[name].process
            assert process is not None
            await process.wait()
        peers = tuple(format_peer_id(self._stage.keys[name].peer.peer) for name in SELLERS)
        for name in BUYERS:
            command = self._stage.command(name, self._seed, 0, peers)
            nursery.start_soon(self._troupe.keep, name, command)
        while not all(told.is_calm for told in self._told()):
            await trio.sleep(LOOK_S)
        self.say("calm jobs are done")

    async def _wait_met(self) -> list[str]:
        """Wait until every node knows all advertisements; return what is still missing."""
        strangers = ["nobody was asked"]
        with trio.move_on_after(MEET_S):
            while strangers := await find_strangers(self._stage, self._troupe):
                await trio.sleep(0.5)
        self.say("directories agree" if not strangers else "directories differ")
        return strangers

    async def _leave(self) -> dict[str, int]:
        self._troupe.is_leaving = True
        codes = await self._troupe.dismiss(BUYERS)
        return codes | await self._troupe.dismiss((*SELLERS, BOOTSTRAP))

    def _find_bugs(self, found: Reckoning) -> None:
        """A traceback in a log is a bug, whatever came of it."""
        for name in (CHAIN, *NODES):
            text = self._stage.log(name).read_text(errors="replace")
            for mark in ("Traceback", "this is a bug"):
                if mark in text:
                    where = text.index(mark)
                    found.faults.append(f"{name}: {text[where : where + 3000]}")

    def report(self, found: Reckoning) -> None:
        """Counts, money, faults."""
        done = sum(len(told.done) for told in self._told())
        failed = [entry for told in self._told() for entry in told.failed]
        again: Counter[str] = Counter()
        for told in self._told():
            for entry in told.done + told.failed:
                again.update(entry.get("restarts", ()))
        errors = Counter(f"{e['error']}: {e['reason'].split(':')[0][:60]}" for e in failed)
        blows = self._troupe.blows
        click.echo(f"\nseed {self._seed}, {time.monotonic() - self._began:.0f} s")
        click.echo(f"jobs receipted  {done}")
        click.echo(f"jobs failed     {len(failed)}")
        for what, number in errors.most_common():
            click.echo(f"    {number:4}  {what}")
        click.echo(f"failovers       {sum(again.values())}: {dict(again)}")
        for kind in ("kill", "stop"):
            of = {name: n for (name, k), n in blows.items() if k == kind}
            click.echo(f"{kind}s           {sum(of.values())}: {of}")
        click.echo(f"starts          {sum(self._troupe.starts.values())}")
        exits = Counter((name, words[:80]) for name, _, words in self._troupe.exits)
        click.echo(f"own exits       {sum(exits.values())}")
        for (name, words), number in exits.items():
            click.echo(f"    {number:4}  {name}: {words}")
        for name, figure in found.figures.items():
            click.echo(f"{name}: {figure}")
        for fault in found.faults:
            click.echo(f"FAULT {fault}")
        click.echo("FAILED" if found.faults else "nothing is lost")


@click.command()
@click.option("--seed", default=1, show_default=True)
@click.option("--jobs", default=200, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="Kept; else a temporary one.")
def main(seed: int, jobs: int, folder: Path | None) -> None:
    """Kill and freeze real processes through paid jobs, and look what is lost."""
    with tempfile.TemporaryDirectory(prefix="modelex-chaos-") as temporary:
        place = folder or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        play = Play(place, seed, jobs)
        for blow in build_schedule(seed, jobs, NAMES):
            click.echo(str(blow))
        found = trio.run(play.run)
        play.report(found)
    sys.exit(bool(found.faults))


if __name__ == "__main__":
    main()
