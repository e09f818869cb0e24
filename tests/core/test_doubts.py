"""Deposits of which nobody can say whether they will be mined (LED-14)."""

import random
from collections.abc import Sequence

import msgspec
import pytest

from p2p_modelex.chain.memory_ledger import MemoryLedger
from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as given
from p2p_modelex.core.funding import LATE_DEPOSIT, Budget, build_row
from p2p_modelex.ids import Address, ChannelId
from p2p_modelex.records.channel import PAYER_SIGNS, ChannelState, ChannelTerms, compute_id
from p2p_modelex.records.rows import ChannelRow, DepositRow, Row
from p2p_modelex.units import Epoch, Wei
from tests.core.buyer import Buyer, Sale, build_state, opening
from tests.core.exchange.pair import CHANNELS, PAYER
from tests.core.test_buying import CEILING
from tests.node.world import DEPLOYMENT

WHY = "transaction 0xab was not mined in 180 s"


def in_doubt(payee: Address) -> given.ChannelOpenFailed:
    return given.ChannelOpenFailed(payee, WHY, is_pending=True)


def topping_up(budget: Budget) -> tuple[Buyer, fx.TopUpChannel]:
    """A buyer that has spent a little of its first deposit, and asks for a second one."""
    buyer = Buyer(1, budget)
    buyer.request(1)
    buyer.make(CEILING)
    Sale(buyer).begin().finish()
    buyer.request(2)
    [top_up] = buyer.deposits()
    assert isinstance(top_up, fx.TopUpChannel)
    return buyer, top_up


def reborn(buyer: Buyer, rows: Sequence[Row]) -> tuple[Buyer, list[fx.Effect]]:
    """The buyer's next life, from what its disk has; and what it begins with."""
    later = Buyer(0, buyer.budget)
    later.vendors[:], later.by_peer = buyer.vendors, buyer.by_peer
    later.shelf.vendors = later.vendors
    later.buying.restore(rows)
    return later, later.buying.start()


def test_nobody_waits_for_a_deposit_in_doubt_and_no_second_one_is_made() -> None:
    """Both might be mined."""
    buyer = Buyer(1)
    buyer.request(1)
    payee = buyer.vendor().account
    buyer.tell(in_doubt(payee))
    assert (buyer.ended().code, buyer.ended().reason) == ("no_channel", WHY)
    buyer.request(2)
    assert (buyer.ended().code, buyer.ended().reason) == ("no_channel", LATE_DEPOSIT)
    assert not buyer.deposits()


def test_whoever_waited_goes_on_to_the_next_provider() -> None:
    buyer = Buyer(2)
    buyer.request(1)
    first = buyer.vendor()
    buyer.tell(in_doubt(first.account))
    assert buyer.vendor() is not first
    buyer.make()
    assert buyer.opened()


def test_what_is_mined_late_pays_for_whoever_comes_then() -> None:
    buyer = Buyer(1)
    buyer.request(1)
    payee = buyer.vendor().account
    buyer.tell(in_doubt(payee))
    state = build_state(payee, CEILING)
    told = buyer.tell(given.ChannelOpened(payee, state))
    settled = DepositRow(payee, None, Wei(10_000), 0, ())
    assert told == [fx.Persist((ChannelRow(state, is_payer=True, peer=None), settled))]
    buyer.request(2)
    assert buyer.opened()
    buyer.request(3)
    assert buyer.deposits() == [fx.TopUpChannel(payee, state.terms, Wei(10_000))]


def test_a_doubt_counts_against_what_may_be_deposited_elsewhere() -> None:
    buyer = Buyer(2, Budget(Wei(CEILING), Wei(CEILING + CEILING // 2)))
    one, other = (vendor.key.peer for vendor in buyer.vendors)
    buyer.request(1, only=(one,))
    buyer.tell(in_doubt(buyer.vendors[0].account))
    buyer.request(2, only=(other,))
    assert "max_deposits" in buyer.ended().reason
    buyer.tell(given.ChannelOpenFailed(buyer.vendors[0].account, "its nonce was taken"))
    buyer.request(3, only=(other,))
    assert buyer.deposits() == [opening(buyer.vendors[1].account, CEILING)]


def test_a_doubt_that_ends_badly_is_noted_and_the_channel_read() -> None:
    buyer, top_up = topping_up(Budget(Wei(CEILING), Wei(10 * CEILING)))
    buyer.tell(in_doubt(top_up.payee))
    channel = compute_id(top_up.terms, CHANNELS)
    assert buyer.tell(given.ChannelOpenFailed(top_up.payee, "it is closing")) == [
        fx.Persist((DepositRow(top_up.payee, channel, top_up.amount, 0, ()),)),
        fx.FetchChannel(channel, top_up.terms),
    ]
    buyer.tell(given.ChannelFetched(channel, build_state(top_up.payee, CEILING, closes_at=9)))
    buyer.request(3)
    assert buyer.deposits() == [opening(top_up.payee, CEILING, number=1)]


def test_a_channel_that_closes_leaves_the_doubt() -> None:
    """What was signed for it may be mined still, and its answer is no other deposit's."""
    buyer, top_up = topping_up(Budget(Wei(CEILING), Wei(10 * CEILING)))
    buyer.tell(in_doubt(top_up.payee))
    closing = build_state(top_up.payee, CEILING, closes_at=9)
    buyer.tell(given.ChannelFetched(ChannelId(closing.channel), closing))
    buyer.request(3)
    assert buyer.ended().reason == LATE_DEPOSIT


def test_a_doubt_is_worth_twice_its_number_after_a_split() -> None:
    least = Wei(CEILING)
    buyer = Buyer(2, Budget(least, Wei(2 * CEILING - 1)))
    one, other = (vendor.key.peer for vendor in buyer.vendors)
    buyer.request(1, only=(one,))
    buyer.tell(in_doubt(buyer.vendors[0].account))
    buyer.splits.note_epoch(1)
    buyer.request(2, only=(other,), epoch=Epoch(1), max_cost=Wei(4_000))
    assert "max_deposits" in buyer.ended().reason
    roomy = Buyer(2, Budget(least, Wei(2 * CEILING)))
    roomy.request(1, only=(one,))
    roomy.tell(in_doubt(roomy.vendors[0].account))
    roomy.splits.note_epoch(1)
    roomy.request(2, only=(other,), epoch=Epoch(1), max_cost=Wei(4_000))
    [made] = roomy.deposits()
    assert isinstance(made, fx.OpenChannel)
    assert (made.deposit, made.epoch) == (2 * CEILING, 1)


def test_a_cancelled_run_takes_no_doubt_with_it() -> None:
    buyer = Buyer(1, Budget(Wei(CEILING), Wei(CEILING)))
    job = buyer.request(1)
    payee = buyer.vendor().account
    buyer.tell(given.CancelRun(job))
    assert buyer.tell(in_doubt(payee)) == []
    buyer.request(2)
    assert buyer.ended().reason == LATE_DEPOSIT


def test_a_doubt_is_told_again_and_of_others_nothing_is_known() -> None:
    buyer = Buyer(1)
    buyer.request(1)
    payee = buyer.vendor().account
    buyer.tell(in_doubt(payee))
    assert buyer.tell(in_doubt(payee)) == []
    assert buyer.tell(in_doubt(Address(b"?" * 20))) == []


@pytest.mark.parametrize("is_opening", [True, False])
def test_a_restart_keeps_what_was_signed_and_has_it_looked_after(is_opening: bool) -> None:
    if is_opening:
        buyer = Buyer(1, Budget(Wei(CEILING), Wei(CEILING)))
        buyer.request(1)
        [asked] = buyer.deposits()
    else:
        buyer, asked = topping_up(Budget(Wei(CEILING), Wei(2 * CEILING)))
    signed = (b"one", b"two")
    row = build_row(asked, signed, lambda terms: compute_id(terms, CHANNELS))
    later, effects = reborn(buyer, (*buyer.rows, row))
    assert msgspec.structs.replace(asked, signed=signed) in effects
    later.request(3)
    assert later.deposits() == [], "it is under way"
    later.tell(given.ChannelOpened(asked.payee, build_state(asked.payee, 2 * CEILING)))
    assert later.opened()
    assert later.rows[-1] == msgspec.structs.replace(row, signed=())
    _, effects = reborn(later, (*buyer.rows, *later.rows))
    assert not [one for one in effects if isinstance(one, fx.OpenChannel | fx.TopUpChannel)]


class Chancy:
    """A buyer, its disk, and a chain on which anything happens to a deposit, at any time."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.ledger = MemoryLedger(DEPLOYMENT, now=lambda: 1, challenge_s=1)
        self.ledger.mint(PAYER.address, Wei(10**9))
        self.buyer = Buyer(3, Budget(Wei(CEILING), Wei(4 * CEILING)))
        self.disk: dict[tuple[type, bytes], Row] = {}
        self.waiting: dict[Address, fx.OpenChannel | fx.TopUpChannel] = {}
        self.jobs = 0
        self.restarts = 0

    def act(self) -> None:
        """Do one thing; each deposit asked for is signed and sent."""
        acts = [self.request, self.request, self.mine, self.lose, self.doubt, self.restart]
        self.rng.choice(acts)()
        for row in self.buyer.rows:
            self._write(row)
        self.buyer.rows.clear()
        for asked in self.buyer.deposits():
            self._sign(asked)
        self.buyer.effects = []

    def request(self) -> None:
        self.jobs += 1
        vendor = self.rng.choice(self.buyer.vendors)
        self.buyer.request(self.jobs, only=(vendor.key.peer,))

    def mine(self) -> None:
        """Mine one; its answer comes, or is lost with the process."""
        asked = self._choose()
        if asked is None:
            return
        state = self._transact(asked)
        if self.rng.random() < 0.5:
            self.restart()
        if self.rng.random() < 0.5:
            self.buyer.tell(in_doubt(asked.payee))
        del self.waiting[asked.payee]
        self.buyer.tell(given.ChannelOpened(asked.payee, state))

    def lose(self) -> None:
        """Another transaction takes its nonce."""
        asked = self._choose()
        if asked is not None:
            del self.waiting[asked.payee]
            self.buyer.tell(given.ChannelOpenFailed(asked.payee, "its nonce was taken"))

    def doubt(self) -> None:
        asked = self._choose()
        if asked is not None:
            self.buyer.tell(in_doubt(asked.payee))

    def restart(self) -> None:
        """What runs is lost, and the lanes of the old life with it."""
        self.restarts += 1
        self.buyer, effects = reborn(self.buyer, tuple(self.disk.values()))
        resumed = [one for one in effects if isinstance(one, fx.OpenChannel | fx.TopUpChannel)]
        assert {one.payee for one in resumed} == set(self.waiting)

    def _choose(self) -> fx.OpenChannel | fx.TopUpChannel | None:
        found = list(self.waiting.values())
        return self.rng.choice(found) if found else None

    def _sign(self, asked: fx.OpenChannel | fx.TopUpChannel) -> None:
        assert asked.payee not in self.waiting, "one is in doubt"
        self.waiting[asked.payee] = asked
        signed = (self.rng.randbytes(8),)
        self._write(build_row(asked, signed, self.ledger.deployment.channel_id))

    def _write(self, row: Row) -> None:
        if isinstance(row, DepositRow):
            self.disk[DepositRow, row.payee] = row
        elif isinstance(row, ChannelRow):
            self.disk[ChannelRow, row.state.channel] = row

    def _transact(self, asked: fx.OpenChannel | fx.TopUpChannel) -> ChannelState:
        if isinstance(asked, fx.TopUpChannel):
            return self.ledger.top_up(PAYER.address, asked.terms, asked.amount)
        payer, payee = PAYER.address, asked.payee
        name = self.ledger.deployment.channel_id(
            ChannelTerms(payer, payee, PAYER_SIGNS, asked.salt)
        )
        assert self.ledger.channel(name) is None, "a channel is opened once"
        return self.ledger.open_channel(payer, payee, asked.deposit, PAYER_SIGNS, asked.salt)

    def sum_deposits(self) -> int:
        return sum(state.deposit for state in self.ledger.get_channels())


@pytest.mark.slow
def test_whatever_becomes_of_deposits_no_more_is_deposited_than_may_be() -> None:
    deposited = restarts = 0
    for seed in range(60):
        world = Chancy(seed)
        for _ in range(60):
            world.act()
            assert world.sum_deposits() <= 4 * CEILING, f"seed {seed}"
        deposited += world.sum_deposits()
        restarts += world.restarts
    assert deposited > 60 * 3 * CEILING
    assert restarts > 100
