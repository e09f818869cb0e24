"""What a simulated run did on its ledger, done again: on a fresh ledger, and by the real contracts.

    python -m tests.chain.replay jobs --set 'duration=6 min'     # a scenario, on anvil
    python -m tests.chain.replay outage --engine pyevm

After each transaction both sides must have said the same, and have the channels and the sender the
same; in the end everything must be equal, events too, and equal to the ledger of the run itself.
Accounts get keys of their own here, and vouchers are signed anew by them: the run's may be stubs.
"""

import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click
import trio

from p2p_modelex.chain.abc import Chain
from p2p_modelex.chain.devnet import bring_up
from p2p_modelex.chain.memory_ledger import MemoryLedger
from p2p_modelex.core import effects as fx
from p2p_modelex.errors import Reverted
from p2p_modelex.ids import Address, ChannelId
from p2p_modelex.records import voucher as voucher_record
from p2p_modelex.records.channel import PAYER_SIGNS, ChannelState, ChannelTerms, Claim
from p2p_modelex.records.signers import EvmSigner
from p2p_modelex.records.voucher import Voucher
from p2p_modelex.simulation.models.splits import Split
from p2p_modelex.simulation.models.transactions import Done, FinishClose, Rate, StartClose
from p2p_modelex.simulation.run import Simulation
from p2p_modelex.simulation.scenario.reading import list_scenarios, read_scenario
from p2p_modelex.simulation.scenario.tables import Scenario
from p2p_modelex.units import Wei
from tests.chain.worlds import CHALLENGE_S, EvmWorld, MemoryWorld, World, new_key

T = TypeVar("T")
EVENTS_S = 30
"""How long the events of one account may take to come."""


class Record(NamedTuple):
    """What a run's blocks took, what everybody began with, the token's splits, and its ledger."""

    deeds: list[Done]
    purses: dict[Address, Wei]
    splits: list[Split]
    ledger: MemoryLedger


def record(scenario: Scenario) -> Record:
    """Run a scenario."""
    with Simulation(scenario) as run:
        assert run.chain is not None
        run.chain.blocks.record = []
        run.finish()
        purses = {
            machine.account_signer.address: Wei(machine.population.purse)
            for machine in run.world.machines
        }
        blocks = run.chain.blocks
        return Record(blocks.record or [], purses, blocks.splits.planned, run.chain.ledger)


class Replay:
    """Does deeds on a ledger in memory and on an EVM at once."""

    def __init__(self, memory: MemoryWorld, evm: World, splits: Sequence[Split]) -> None:
        self.memory, self.evm = memory, evm
        self.splits = splits
        self.keys: dict[Address, EvmSigner] = {}
        self.ports: dict[Address, dict[World, Chain]] = {}
        self.channels: dict[ChannelId, ChannelTerms] = {}

    async def begin(self, purses: Mapping[Address, Wei]) -> None:
        for account, purse in purses.items():
            key = self.keys[account] = new_key()
            self.ports[account] = {
                world: await world.add_account(key, purse) for world in (self.memory, self.evm)
            }

    def name(self, account: bytes) -> Address:
        """Who an account of the run is here."""
        return self.keys[Address(account)].address

    def move(self, terms: ChannelTerms) -> ChannelTerms:
        return ChannelTerms(self.name(terms.payer), self.name(terms.payee), PAYER_SIGNS, terms.salt)

    def sign(self, claim: Claim) -> Claim:
        deployment, terms = self.memory.deployment, self.move(claim.terms)
        said = claim.signed.voucher
        promise = Voucher(deployment.channel_id(terms), said.lane, said.amount, said.epoch)
        key = self.keys[Address(claim.terms.payer)]
        return Claim(terms, voucher_record.sign(promise, deployment.channels_domain, key))

    async def follow(self, height: int) -> None:
        """Let the token split, and its pauses begin, as it was before the block of this height."""
        for number, split in enumerate(self.splits):
            for port, world in self._list_ports():
                state = await port.fetch_split()
                if state.epoch > number or height < split.pauses:
                    continue
                if not state.splits_at:
                    await world.announce_split()  # as late as may be: its notice hinders nobody
                    state = await port.fetch_split()
                until = state.pauses_at if height < split.splits else state.splits_at
                if state.block + 1 < until:
                    await world.pass_blocks(until - 1 - state.block)

    def _list_ports(self) -> list[tuple[Chain, World]]:
        return [(port, world) for world, port in next(iter(self.ports.values())).items()]

    async def repeat(self, done: Done) -> None:
        """Do one deed on both sides."""
        await self.follow(done.height)
        if isinstance(done.effect, FinishClose):
            for world in (self.memory, self.evm):
                await world.pass_time(CHALLENGE_S + 1)
        told = await self._both(done.account, self._translate(done))
        if not isinstance(done.effect, fx.OpenChannel):  # the port finds a channel that is there
            assert isinstance(told, str) is not done.is_done, (done, told)
        if isinstance(done.effect, fx.Redeem):
            for terms in dict.fromkeys(self.move(claim.terms) for claim in done.effect.claims):
                await self._compare_channel(done.account, terms)
        await self._compare_balance(done.account)

    def _translate(self, done: Done) -> Callable[[Chain], Awaitable[Any]]:
        match done.effect:
            case fx.OpenChannel(payee, deposit, salt):
                terms = ChannelTerms(self.name(done.account), self.name(payee), PAYER_SIGNS, salt)
                self.channels[self.memory.deployment.channel_id(terms)] = terms
                to = self.name(payee)
                return lambda port: _without_clock(
                    port.open_channel(to, deposit, PAYER_SIGNS, salt)
                )
            case fx.TopUpChannel(_, terms, amount):
                moved = self.move(terms)
                return lambda port: _without_clock(port.top_up(moved, amount))
            case fx.Redeem(claims):
                signed = [self.sign(claim) for claim in claims]
                return lambda port: _credited(port, signed)
            case fx.PayOut(payee):
                owed = self.name(payee)
                return lambda port: port.pay_out(owed)
            case fx.PutAnchor(peer, digest, sequence):
                return lambda port: _nothing(port.register(peer, digest, sequence, ""))
            case StartClose(terms):
                moved = self.move(terms)
                return lambda port: _without_clock(port.start_close(moved))
            case FinishClose(terms):
                moved = self.move(terms)
                return lambda port: _without_clock(port.finish_close(moved))
            case Rate():
                raise AssertionError("no port rates: nobody does so in what is replayed")

    async def _both(self, account: Address, act: Callable[[Chain], Awaitable[T]]) -> T | str:
        told: list[T | str] = []
        for port in self.ports[account].values():
            try:
                told.append(await act(port))
            except Reverted as error:
                told.append(error.name)
        assert told[0] == told[1]
        return told[0]

    async def _compare_balance(self, account: Address) -> None:
        own = self.name(account)
        await self._both(account, lambda port: port.fetch_balance(own))

    async def _compare_channel(self, account: Address, terms: ChannelTerms) -> None:
        await self._both(account, lambda port: _without_clock(port.fetch_channel(terms)))

    async def finish(self, ledger: MemoryLedger, deeds: list[Done]) -> None:
        """Hold everything to be equal: both sides, and the ledger of the run."""
        for split in self.splits:
            await self.follow(split.splits)
            for _, world in self._list_ports():
                await world.pass_blocks(1)  # so that it is behind the head
        for terms in self.channels.values():
            await self._compare_channel(next(iter(self.keys)), terms)
        for account, key in self.keys.items():
            await self._compare_balance(account)
            assert ledger.balance(account) == self.memory.ledger.balance(key.address)
        for state in ledger.get_channels():
            channel = self.memory.deployment.channel_id(self.move(state.terms))
            ours = self.memory.ledger.channel(channel)
            assert ours is not None
            assert (ours.deposit, ours.claimed, ours.epoch) == (
                state.deposit,
                state.claimed,
                state.epoch,
            )
            assert ours.is_open == state.is_open
        anchors = [(x.account, x.effect) for x in deeds if isinstance(x.effect, fx.PutAnchor)]
        for account, peer in sorted({(account, put.peer) for account, put in anchors}):
            await self._both(account, lambda port, peer=peer: port.fetch_registration(peer))  # type: ignore[misc]
        for account in self.keys:
            await self._compare_events(account)

    async def _compare_events(self, account: Address) -> None:
        ours = [
            (event.kind, event.channel)
            for event in self.memory.ledger.history.since(0)
            if self.name(account) in self._parties(event.channel)
        ]
        theirs: list[tuple[str, ChannelId]] = []
        with trio.move_on_after(EVENTS_S):
            events = self.ports[account][self.evm].channel_events(0)
            while len(theirs) < len(ours):
                event = await anext(events)
                theirs.append((event.kind, event.channel))
            await events.aclose()
        assert theirs == ours

    def _parties(self, channel: ChannelId) -> tuple[bytes, bytes]:
        terms = self.channels[channel]
        return terms.payer, terms.payee


async def _without_clock(act: Awaitable[ChannelState | None]) -> tuple[Any, ...] | None:
    """What both sides say of a channel: their clocks differ."""
    state = await act
    if state is None:
        return None
    return state.terms, state.deposit, state.claimed, state.epoch, state.is_open


async def _credited(port: Chain, claims: list[Claim]) -> tuple[Wei, ...]:
    return (await port.redeem(claims)).credited


async def _nothing(act: Awaitable[object]) -> None:
    await act


async def replay(scenario: Scenario, evm: EvmWorld) -> int:
    """Run a scenario, and do what it did on both sides; returns how many transactions that were."""
    found = record(scenario)
    there = Replay(MemoryWorld(evm.deployment), evm, found.splits)
    await there.begin(found.purses)
    for done in found.deeds:
        await there.repeat(done)
    await there.finish(found.ledger, found.deeds)
    return len(found.deeds)


@click.command()
@click.argument("name", type=click.Choice(sorted(list_scenarios())))
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="As of simulate.")
@click.option("--engine", type=click.Choice(["anvil", "pyevm"]), default="anvil")
def main(name: str, settings: tuple[str, ...], engine: Any) -> None:
    """Run a scenario, and hold its ledger to the contracts."""
    scenario = read_scenario(list_scenarios()[name], settings)

    async def run() -> int:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "network.toml"
            async with (
                bring_up(file, {}, engine=engine, challenge_s=CHALLENGE_S) as (net, at),
                EvmWorld(net.url, at) as evm,
            ):
                return await replay(scenario, evm)

    click.echo(f"{trio.run(run)} transactions, and both sides hold the same after each")


if __name__ == "__main__":
    main()
