"""The chain as a model: the shipped ledger in memory behind blocks, fees, reorgs and failures.

The ledger keeps the contracts' semantics (tests/chain holds it to them, by random acts and by what
a run did); here it gets a time and a price. What a node does about both is what chain/evm does.
"""

import random
from collections.abc import Callable

import msgspec

from p2p_modelex.chain.abc import Deployment
from p2p_modelex.chain.memory_ledger import MemoryLedger
from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as inp
from p2p_modelex.errors import SimulationError
from p2p_modelex.ids import Address, ChannelId
from p2p_modelex.records.channel import ChannelState
from p2p_modelex.records.registry import RegistryEntry
from p2p_modelex.records.split import SplitState
from p2p_modelex.simulation.kernel import Kernel
from p2p_modelex.simulation.models.blocks import Blocks
from p2p_modelex.simulation.models.reads import READS, Reads
from p2p_modelex.simulation.models.splits import Split, level
from p2p_modelex.simulation.models.transactions import (
    Caller,
    Deed,
    Deposit,
    FinishClose,
    StartClose,
    Transaction,
    compute_gas,
    fail,
    find_done,
    get_signed,
)
from p2p_modelex.simulation.scenario.settings import Chain

CALLS_MAX = 1_000_000
"""Calls and transactions under way at once."""
DEPLOYMENT = Deployment(
    "simulation", 31337, Address(b"\x01" * 20), Address(b"\x02" * 20), Address(b"\x03" * 20)
)
DOUBT_US = 10_000_000
"""Before a node asks again what became of a deposit (node/money.py: DOUBT_PAUSE_S)."""
NUMBER = -2
"""The chain's number in the trace."""

ChainEffect = fx.FetchChannel | fx.FetchSplit | fx.ReadRegistry | fx.ReadRatings | Deed


class Call(msgspec.Struct, frozen=True, gc=False):
    """A read or a transaction reaches the endpoint. is_first: it was never sent before."""

    index: int
    caller: int
    effect: msgspec.Struct
    is_first: bool


class Confirmed(msgspec.Struct, frozen=True, gc=False):
    """A deposit is as deep as those who read it want it. state: as it was mined."""

    index: int
    caller: int
    effect: msgspec.Struct
    state: ChannelState


class Sealing(msgspec.Struct, frozen=True, gc=False):
    """It is time for a block."""

    height: int


class Turning(msgspec.Struct, frozen=True, gc=False):
    """A block is made after which a split of the token is nearer, or over."""

    height: int


class ChainModel:
    """What all nodes share; `on_mined` is called after each transaction."""

    def __init__(
        self,
        settings: Chain,
        kernel: Kernel,
        open_stream: Callable[[str], random.Random],
        clock: Callable[[], int],
        on_mined: Callable[[Transaction], None],
    ) -> None:
        """clock: unix seconds."""
        self.number = NUMBER
        challenge_s = settings.challenge // 1_000_000
        self.ledger = MemoryLedger(DEPLOYMENT, now=clock, challenge_s=challenge_s)
        self.blocks = Blocks(settings, self.ledger, open_stream, self._tell, self._note)
        self.known: dict[ChannelId, ChannelState] = {}
        """Each channel that ever was, with the most it held: what a reorg undid was signed for."""
        self._reads = Reads(settings, kernel, self.blocks)
        self._settings = settings
        self._kernel = kernel
        self._rng = open_stream("chain")
        self._clock = clock
        self._on_mined = on_mined
        self._calls: dict[int, Caller] = {}
        self._last = 0
        self._is_armed = False

    @property
    def has_reorgs(self) -> bool:
        """Whether a block may ever leave the chain."""
        return self._settings.reorgs > 0

    def begin(self) -> None:
        """Everybody has got what they begin with."""
        self.blocks.branch.begin()

    def fetch_split(self) -> SplitState:
        """The token's split epoch; its block numbers are the ledger's own."""
        return self.ledger.split()

    def fetch_registration(self, caller: Caller, peer: bytes) -> RegistryEntry | None:
        """The entry that a node begins with."""
        return self.ledger.registry.get(peer, caller.account)  # type: ignore[arg-type]

    def call(self, caller: Caller, effect: ChainEffect, at: int, *, is_first: bool = True) -> None:
        """Carry out a core's effect: its answer comes to `caller` as an input. is_first: False for
        a deposit that may have been sent before.
        """
        if len(self._calls) + self.blocks.waiting >= CALLS_MAX:
            raise SimulationError(f"over {CALLS_MAX} calls wait for the chain", hint="fewer nodes")
        index = self._last = self._last + 1
        self._calls[index] = caller
        event = Call(index, caller.number, effect, is_first)
        self._kernel.at(at + self._settings.read, self, event)

    def receive(self, event: Call | Confirmed | Sealing | Turning) -> None:
        """Take a call, or make a block."""
        if isinstance(event, Confirmed):
            self._on_confirmed(event)
        elif isinstance(event, Turning):
            self.blocks.splits.follow(event.height)
        elif isinstance(event, Sealing):
            self._is_armed = False
            is_wanted = self.blocks.seal(event.height, self._kernel.now)
            self._reads.tell_followers()
            if is_wanted:
                self._arm()
        else:
            self._on_call(event)

    def announce_split(self, until_us: int, pause_us: int) -> None:
        """Have the token split at a time, behind a pause, as its owner; refused as the contract
        does while another split is pending.
        """
        block = self._settings.block
        announced = self._kernel.now // block + 1
        pauses = max(announced + 1, (until_us - pause_us) // block)
        split = Split(announced, pauses, max(pauses + 1, until_us // block))
        if self.blocks.splits.plan(split):
            for head in split.turns:
                # Behind the block of that height, which is made with what was true before it.
                self._kernel.at(head * block + 1, self, Turning(head))

    def _arm(self) -> None:
        """Ask for the next block: there is something to do in it."""
        if not self._is_armed:
            self._is_armed = True
            height = self._kernel.now // self._settings.block + 1
            self._kernel.at(height * self._settings.block, self, Sealing(height))

    def _answer(self, caller: Caller, effect: ChainEffect, answer: inp.Input | None) -> None:
        """Tell a node; what became of a deposit in doubt it asks again."""
        if answer is None or caller.is_over:
            return
        self._kernel.at(self._kernel.now + self._settings.read, caller, answer)
        if isinstance(answer, inp.ChannelOpenFailed) and answer.is_pending:
            self.call(caller, effect, self._kernel.now + DOUBT_US, is_first=False)

    def _confirm(self, caller: Caller, effect: ChainEffect, answer: inp.Input | None) -> None:
        """Answer a transaction; one that made a deposit when its payee sees it as well."""
        wait = self._settings.confirmations * self._settings.block
        if not wait or not isinstance(answer, inp.ChannelOpened):
            self._answer(caller, effect, answer)
            return
        index = self._last = self._last + 1
        self._calls[index] = caller
        event = Confirmed(index, caller.number, effect, answer.state)
        self._kernel.at(self._kernel.now + wait + self._settings.read, self, event)

    def _on_confirmed(self, event: Confirmed) -> None:
        caller, effect = self._calls.pop(event.index), event.effect
        assert isinstance(effect, Deposit)
        state = self._reads.fetch_channel(ChannelId(event.state.channel))
        if state is None or _find_held(state) < _find_held(event.state):  # a reorg undid it
            self._answer(caller, effect, fail(effect))
        else:
            self._answer(caller, effect, inp.ChannelOpened(effect.payee, state))

    # Transactions.

    def _on_call(self, event: Call) -> None:
        caller = self._calls.pop(event.index)
        if caller.is_over and not event.is_first:
            return  # its next life asks for itself
        effect: ChainEffect = event.effect  # type: ignore[assignment]
        luck, fails = self._rng.random(), self._settings.fails
        if self._kernel.now < self.blocks.weather.down_until or luck < fails:
            self._answer(caller, effect, fail(effect, is_known=event.is_first))
            return
        is_lost = luck < 2 * fails
        if isinstance(effect, READS):
            answer: inp.Input | None = self._reads.answer(caller, effect)
        else:
            answer = find_done(self.ledger, caller.account, effect)
            if answer is None and self._waits_for_split(caller, effect, is_first=event.is_first):
                return
            if answer is None and get_signed(effect) in self.blocks.refused:
                answer = fail(effect, is_known=True)
            if answer is None:
                self._submit(caller, effect, is_awaited=not is_lost)
        if answer is not None or is_lost:
            self._confirm(caller, effect, fail(effect) if is_lost else answer)

    def _waits_for_split(self, caller: Caller, effect: Deed, *, is_first: bool) -> bool:
        """Whether it is not sent, since the token's pause would refuse it: a deposit fails, as in
        `node/money.py`, and an operator that wants its rest waits.
        """
        split = self.ledger.split()
        if not split.is_paused:
            return False
        if isinstance(effect, FinishClose):
            over = self.blocks.splits.planned[-1].splits * self._settings.block
            self.call(caller, effect, over)
            return True
        if isinstance(effect, Deposit) and is_first:
            self._answer(caller, effect, inp.SplitFetched(split))
            self._answer(caller, effect, fail(effect, is_known=True))
            return True
        return False

    def _submit(self, caller: Caller, effect: Deed, *, is_awaited: bool) -> None:
        if isinstance(effect, fx.PayOut) and not self.ledger.unpaid(effect.payee):
            return
        if isinstance(effect, Deposit) and effect.signed:
            waiting = self.blocks.find_deposit(caller.account, effect.payee)
            if waiting is not None and get_signed(waiting.effect) == effect.signed:
                waiting.resume(caller, self._kernel.now, is_awaited=is_awaited)
                return
        gas = compute_gas(self.ledger, caller.account, effect)
        now, bid = self._kernel.now, self.blocks.market.bid()
        self.blocks.submit(Transaction(caller, effect, gas, bid, now, now, is_awaited))
        self._arm()

    def _tell(self, one: Transaction, answer: inp.Input | None) -> None:
        """A transaction has its receipt, or its sender gives up."""
        if not self._waits_for_split(one.caller, one.effect, is_first=False):
            self._confirm(one.caller, one.effect, answer)

    def _note(self, one: Transaction, done: inp.Input | None) -> None:
        """A transaction is mined."""
        if isinstance(done, inp.ChannelOpened):
            before = self.known.get(ChannelId(done.state.channel))
            if before is None or _find_held(before) < _find_held(done.state):
                self.known[ChannelId(done.state.channel)] = done.state
        self._on_mined(one)
        if isinstance(one.effect, StartClose):
            channel = self.ledger.channel(DEPLOYMENT.channel_id(one.effect.terms))
            assert channel is not None
            wait = (channel.closes_at - self._clock()) * 1_000_000
            self.call(one.caller, FinishClose(one.effect.terms), self._kernel.now + wait)


def _find_held(state: ChannelState) -> int:
    """What a channel holds, comparable whatever was split since."""
    return level(state.deposit, state.epoch)


def answer_without_chain(effect: ChainEffect) -> inp.Input | None:
    """Return what a node without a chain is told, as node/money.py has it; no registry answers."""
    is_silent = isinstance(effect, fx.ReadRegistry | fx.PutAnchor | fx.ReadRatings)
    return None if is_silent else fail(effect)
