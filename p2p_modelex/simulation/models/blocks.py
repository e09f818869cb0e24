"""Blocks: what waits for one, what gets in at which price, and which others take its place."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from p2p_modelex.chain.evm.sender import RECEIPT_TIMEOUT_S, REPAIR_S
from p2p_modelex.chain.memory_ledger import MemoryLedger
from p2p_modelex.core import inputs as inp
from p2p_modelex.errors import ChainError, PaymentError
from p2p_modelex.ids import Address
from p2p_modelex.simulation.models.branch import Branch
from p2p_modelex.simulation.models.fees import FeeMarket
from p2p_modelex.simulation.models.splits import Splits
from p2p_modelex.simulation.models.tally import Tally
from p2p_modelex.simulation.models.transactions import (
    Deposit,
    Done,
    Transaction,
    fail,
    get_signed,
    transact,
)
from p2p_modelex.simulation.scenario.settings import Chain

PATIENCE_US = int(RECEIPT_TIMEOUT_S * 1_000_000)
REPAIR_US = int(REPAIR_S * 1_000_000)
RESENT_US = 12_000_000
"""When a node that follows the registry sees a reorg and sends again what that dropped, at the
latest (chain/evm/port.py: REGISTRY_POLL_S).
"""


@dataclass(slots=True)
class Weather:
    """What happens to the chain just now (microseconds). Until when it is out of reach; until when
    which share of the blocks' builders leave out the transactions of which nodes.
    """

    down_until: int = 0
    censored_until: int = 0
    share: float = 0.0
    nodes: frozenset[int] = field(default_factory=frozenset)


class Blocks:
    """Makes blocks on a ledger. tell: takes a transaction's answer, where its sender waits for one.
    note: is told of each that is mined, with what its core would be told.
    """

    def __init__(
        self,
        settings: Chain,
        ledger: MemoryLedger,
        open_stream: Callable[[str], random.Random],
        tell: Callable[[Transaction, inp.Input | None], None],
        note: Callable[[Transaction, inp.Input | None], None],
    ) -> None:
        self.market = FeeMarket(settings.fees, open_stream("fees"))
        self.tally = Tally()
        self.weather = Weather()
        self.record: list[Done] | None = None
        """What the blocks that stand took, in order, where somebody wants it."""
        self.refused: dict[tuple[bytes, ...], None] = {}
        """What was signed for deposits that came to nothing."""
        self._settings = settings
        self.ledger = ledger
        self._rng = open_stream("blocks")
        self._tell = tell
        self._note = note
        self._pool: dict[int, Transaction] = {}
        self._deposits: dict[tuple[Address, Address], Transaction] = {}
        self._last = 0
        self._reorg_depth = settings.reorg_depth if settings.reorgs else 0
        self.splits = Splits(ledger)
        self.branch = Branch(ledger, max(self._reorg_depth, settings.confirmations))

    @property
    def waiting(self) -> int:
        """Transactions in no block yet."""
        return len(self._pool)

    def submit(self, one: Transaction) -> None:
        """Let a transaction wait for a block."""
        self._last += 1
        self._pool[self._last] = one
        if isinstance(one.effect, Deposit):
            self._deposits[one.account, one.effect.payee] = one

    def find_deposit(self, account: Address, payee: Address) -> Transaction | None:
        """Return the newest deposit of an account for a payee that waits for a block."""
        return self._deposits.get((account, payee))

    def seal(self, height: int, now_us: int) -> bool:
        """Make the block of this height; returns whether anything is to be done in the next."""
        self.market.advance(height)
        self._reorganise(height, now_us)
        self.splits.follow(height - 1)
        self._raise_bids(now_us)
        mined = self._mine(height, now_us)
        self.market.seal(sum(one.gas for one in mined))
        self.branch.add(height, mined)
        self._give_up(now_us)
        return bool(self._pool) or height - self.branch.newest < self._reorg_depth

    def _reorganise(self, height: int, now_us: int) -> None:
        """Now and then other blocks take the place of the newest: what was in them waits again."""
        if not self._reorg_depth or self._rng.random() >= self._settings.reorgs:
            return
        depth = self._rng.randint(1, self._reorg_depth)
        undone = self.branch.undo(max(1, height - depth))
        if not undone:
            return
        self.tally.undo(undone, depth)
        if self.record is not None:
            self.record = [done for done in self.record if done.height < height - depth]
        waiting, self._pool = self._pool, {}
        for one in undone:
            is_dropped = self._rng.random() < self._settings.dropped
            if is_dropped and one.caller.is_over:
                self.tally.forgotten += 1  # its sender kept it, and is gone
                continue
            one.from_us = now_us + RESENT_US if is_dropped else 0
            self.submit(one)
        for one in waiting.values():
            self.submit(one)

    def _raise_bids(self, now_us: int) -> None:
        """Who waits raises what it offers, for all of its own that stands before it too."""
        if not self._settings.fees.raises:
            return
        accounts = {one.account: None for one in self._pool.values() if one.is_awaited}
        for one in self._pool.values():
            is_late = now_us - one.bid_us >= REPAIR_US and one.cap < self.market.base_fee
            if is_late and one.account in accounts and not one.caller.is_over:
                one.cap, one.bid_us = self.market.raise_bid(one.cap), now_us

    def _mine(self, height: int, now_us: int) -> tuple[Transaction, ...]:
        """Take what pays enough, each account's in its order."""
        barred = self._find_barred(now_us)
        chance = self.market.compute_chance(sum(one.gas for one in self._pool.values()))
        room, passed, mined = self._settings.fees.limit, set[Address](), []
        for index, one in list(self._pool.items()):
            is_barred = one.account in passed or one.caller.number in barred
            if is_barred or one.gas > room or not self._takes(one, chance, now_us):
                passed.add(one.account)
                continue
            self._take_out(index)
            room -= one.gas
            is_done = self._execute(one, now_us)
            if is_done:
                mined.append(one)
            if self.record is not None:
                self.record.append(Done(height, one.account, one.effect, is_done))
        return tuple(mined)

    def _take_out(self, index: int) -> None:
        one = self._pool.pop(index)
        if isinstance(one.effect, Deposit):
            key = one.account, one.effect.payee
            if self._deposits.get(key) is one:
                del self._deposits[key]

    def _takes(self, one: Transaction, chance: float, now_us: int) -> bool:
        """Whether it pays enough, and is lucky where too many do."""
        is_fit = one.cap >= self.market.base_fee and one.from_us <= now_us
        return is_fit and (chance == 1.0 or self._rng.random() < chance)

    def _find_barred(self, now_us: int) -> frozenset[int]:
        """Whose transactions the builder of this block leaves out."""
        weather = self.weather
        if now_us >= weather.censored_until or self._rng.random() >= weather.share:
            return frozenset()
        return weather.nodes

    def _execute(self, one: Transaction, now_us: int) -> bool:
        """Do it. What would revert is refused, as by an estimate, and costs nothing."""
        try:
            answer = transact(self.ledger, one.account, one.effect)
        except (ChainError, PaymentError):
            is_done = False
            answer = fail(one.effect, is_known=True)
            if signed := get_signed(one.effect):
                self.refused[signed] = None
        else:
            is_done = True
            one.paid = one.gas * self.market.compute_price(one.cap)
            self.tally.add(one, now_us)
            self._note(one, answer)
        if now_us < self.weather.down_until:
            answer = fail(one.effect)
        if one.is_awaited:
            one.is_awaited = False
            self._tell(one, answer)
        return is_done

    def _give_up(self, now_us: int) -> None:
        """Who has waited too long is told so; it may still be mined."""
        for one in self._pool.values():
            if one.is_awaited and now_us - one.sent_us >= PATIENCE_US:
                one.is_awaited = False
                self._tell(one, fail(one.effect))
