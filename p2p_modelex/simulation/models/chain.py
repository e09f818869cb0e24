"""The chain as a model: the shipped ledger in memory behind blocks, fees, reorgs and failures.

The ledger keeps the contracts' semantics (tests/chain holds it to them, by random acts and by what
a run did); here it gets a time and a price. What a node does about both is what chain/evm does.
"""

import random
from collections.abc import Callable

import msgspec

from p2p_modelex.chain.abc import REGISTRY_PAGE_MAX, Deployment
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
_READS = (fx.FetchChannel, fx.FetchSplit, fx.ReadRegistry, fx.ReadRatings)

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
        self._settings = settings
        self._kernel = kernel
        self._rng = open_stream("chain")
        self._clock = clock
        self._on_mined = on_mined
        self._calls: dict[int, Caller] = {}
        self._last = 0
        self._is_armed = False
        self._followers: list[Caller] = []
        self._told = 0

    @property
    def has_reorgs(self) -> bool:
        """Whether a block may ever leave the chain."""
        return self._settings.reorgs > 0

    def begin(self) -> None:
        """Everybody has got what they begin with."""
        self.blocks.branch.begin()

    def fetch_split(self) -> SplitState:
        """The split epoch that a node begins in."""
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

    def receive(self, event: Call | Confirmed | Sealing) -> None:
        """Take a call, or make a block."""
        if isinstance(event, Confirmed):
            self._on_confirmed(event)
        elif isinstance(event, Sealing):
            self._is_armed = False
            is_wanted = self.blocks.seal(event.height, self._kernel.now)
            self._tell_followers()
            if is_wanted:
                self._arm()
        else:
            self._on_call(event)

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
        state = self._fetch_channel(ChannelId(event.state.channel))
        if state is None or state.deposit < event.state.deposit:  # a reorg undid it
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
        if isinstance(effect, _READS):
            answer: inp.Input | None = self._read(caller, effect)
        else:
            answer = find_done(self.ledger, caller.account, effect)
            if answer is None and get_signed(effect) in self.blocks.refused:
                answer = fail(effect, is_known=True)
            if answer is None:
                self._submit(caller, effect, is_awaited=not is_lost)
        if answer is not None or is_lost:
            self._confirm(caller, effect, fail(effect) if is_lost else answer)

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
        self._confirm(one.caller, one.effect, answer)

    def _note(self, one: Transaction, done: inp.Input | None) -> None:
        """A transaction is mined."""
        if isinstance(done, inp.ChannelOpened):
            before = self.known.get(ChannelId(done.state.channel))
            if before is None or before.deposit < done.state.deposit:
                self.known[ChannelId(done.state.channel)] = done.state
        self._on_mined(one)
        if isinstance(one.effect, StartClose):
            channel = self.ledger.channel(DEPLOYMENT.channel_id(one.effect.terms))
            assert channel is not None
            wait = (channel.closes_at - self._clock()) * 1_000_000
            self.call(one.caller, FinishClose(one.effect.terms), self._kernel.now + wait)

    # Reads.

    def _read(self, caller: Caller, effect: fx.Effect) -> inp.Input:
        match effect:
            case fx.FetchChannel(channel):
                return inp.ChannelFetched(channel, self._fetch_channel(channel))
            case fx.FetchSplit():
                return inp.SplitFetched(self.ledger.split())
            case fx.ReadRatings(nodes, evaluators):
                get = self.ledger.registry.get_rating
                rated = ((peer, get(peer, operator, evaluators)) for peer, operator in nodes)
                return inp.RatingsRead(tuple(rated))
            case _:
                return self._read_registry(caller)

    def _fetch_channel(self, channel: ChannelId) -> ChannelState | None:
        confirmations = self._settings.confirmations
        if not confirmations:
            return self.ledger.channel(channel)
        height = self._kernel.now // self._settings.block - confirmations
        return self.blocks.branch.fetch_channel(channel, max(0, height))

    def _read_registry(self, caller: Caller) -> inp.Input:
        """Answer with the first page, send the others after it, and then what happens."""
        registry, block = self.ledger.registry, self.ledger.block
        page = registry.page(0, REGISTRY_PAGE_MAX, block)
        answer = inp.RegistryRead(page.entries, True, page.total <= REGISTRY_PAGE_MAX)
        when = self._kernel.now + self._settings.read
        for offset in range(REGISTRY_PAGE_MAX, page.total, REGISTRY_PAGE_MAX):
            more = registry.page(offset, REGISTRY_PAGE_MAX, block)
            is_last = offset + REGISTRY_PAGE_MAX >= page.total
            when += self._settings.read
            self._kernel.at(when, caller, inp.RegistryRead(more.entries, False, is_last))
        self._followers = [one for one in self._followers if one is not caller and not one.is_over]
        self._followers.append(caller)
        return answer

    def _tell_followers(self) -> None:
        news = self.ledger.registry.history.since(self._told)
        self._told += len(news)
        for event in news:
            for follower in self._followers:
                when = self._kernel.now + self._settings.read
                self._kernel.at(when, follower, inp.RegistryChanged(event))


def answer_without_chain(effect: ChainEffect) -> inp.Input | None:
    """Return what a node without a chain is told, as node/money.py has it; no registry answers."""
    is_silent = isinstance(effect, fx.ReadRegistry | fx.PutAnchor | fx.ReadRatings)
    return None if is_silent else fail(effect)
