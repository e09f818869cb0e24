"""The lines of a farm's members: whatever is lost, comes twice or crashes, they are no more than
the deposit; and all of it can be spent at one member.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import permutations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.core.ledger.lines import Lines
from p2p_modelex.core.ledger.seat import Seat
from p2p_modelex.ids import ChannelId, PeerId
from p2p_modelex.records.rows import LoanRow, Row
from p2p_modelex.units import Epoch, Wei, rescale
from tests.core.exchange.pair import TERMS, build_state

CHANNEL, OTHER = ChannelId(b"c" * 32), ChannelId(b"o" * 32)
WHOLE = 10_000


def amount(wei: int, epoch: int = 0) -> Amount:
    return Amount(Wei(wei), Epoch(epoch))


def peer(number: int) -> PeerId:
    return PeerId(bytes([number]) * 38)


A, B = peer(1), peer(2)


def test_a_line_is_our_part_and_what_was_taken_less_what_was_given() -> None:
    lines = Lines()
    assert lines.compute_line(CHANNEL, amount(100)) == amount(100)
    assert lines.lend(CHANNEL, A, amount(0), amount(60), amount(100)) == (
        amount(60),
        (LoanRow(CHANNEL, A, Wei(60), Wei(0), 0),),
    )
    assert lines.take(CHANNEL, B, amount(25)) == (LoanRow(CHANNEL, B, Wei(0), Wei(25), 0),)
    assert lines.compute_line(CHANNEL, amount(100)) == amount(65)
    assert lines.compute_line(OTHER, amount(100)) == amount(100)
    assert lines.compute_line(CHANNEL, amount(10)) == amount(0), "weight that was taken from us"


def test_who_asks_gets_half_of_what_can_be_spared_and_more_if_it_needs_it() -> None:
    lines = Lines()
    for want, spare, total in (
        *((10, 100, 50), (40, 50, 90), (70, 10, 100), (5, 0, 100), (0, 99, 100)),
    ):
        have = lines._get(CHANNEL, A, Epoch(0)).given
        given, rows = lines.lend(CHANNEL, A, amount(have), amount(want), amount(spare))
        assert given == amount(total)
        assert bool(rows) == bool(spare and want)


def test_a_grant_that_was_lost_is_said_again_and_not_given_twice() -> None:
    """MEM-7, MEM-8."""
    lines = Lines()
    asked = amount(0), amount(30), amount(40)
    given, rows = lines.lend(CHANNEL, A, *asked)
    assert given == amount(30)
    assert rows
    assert lines.lend(CHANNEL, A, *asked) == (given, ())
    assert lines.lend(CHANNEL, A, amount(29), amount(1), amount(10)) == (given, ())
    assert lines.lend(CHANNEL, A, amount(30), amount(1), amount(2))[0] == amount(31)


def test_a_grant_may_come_twice_and_late() -> None:
    """MEM-9."""
    lines = Lines()
    assert lines.take(CHANNEL, A, amount(30))
    for late in (30, 20, 0):
        assert lines.take(CHANNEL, A, amount(late)) == ()
    assert lines.get_taken(CHANNEL, A) == amount(30)
    assert lines.get_taken(CHANNEL, B) == amount(0)


def test_amounts_double_with_a_split_wherever_it_is_seen_first() -> None:
    giver, taker = Lines(), Lines()
    given, _ = giver.lend(CHANNEL, A, amount(0), amount(30), amount(40))
    taker.take(CHANNEL, B, given)
    # The taker has seen the split, the giver has not: what it had counts twice.
    given, rows = giver.lend(CHANNEL, A, amount(60, 1), amount(7, 1), amount(10))
    assert given == amount(70, 1)
    assert rows == (LoanRow(CHANNEL, A, Wei(70), Wei(0), 1),)
    # The giver has seen it, the taker has not.
    assert taker.take(CHANNEL, B, given) == (LoanRow(CHANNEL, B, Wei(0), Wei(70), 1),)
    assert taker.take(CHANNEL, B, amount(35)) == (), "the same, as it was before"
    assert taker.compute_line(CHANNEL, amount(5)) == amount(80, 1)
    assert giver.compute_line(CHANNEL, amount(40)) == amount(10, 1)


def test_a_line_of_a_later_epoch_than_the_channel_is_rounded_down() -> None:
    lines = Lines()
    state = build_state(TERMS, 1_000)
    channel = ChannelId(state.channel)
    assert lines.get_line(state, Seat(1, 5_000)) == 500
    lines.take(channel, A, amount(7, 1))
    assert lines.get_line(state, Seat(1, 5_000)) == 503
    lines.take(channel, B, amount(5_000, 1))
    assert lines.get_line(state, Seat(1, 5_000)) == 1_000, "never more than there is"


# Any interleaving.


@dataclass
class Member:
    """A member of a farm: its books, its disk, and how it sees the channel."""

    weight: int
    deposit: Amount = field(default_factory=lambda: amount(0))
    used: int = 0
    disk: dict[PeerId, LoanRow] = field(default_factory=dict)
    lines: Lines = field(default_factory=Lines)

    @property
    def line(self) -> Amount:
        part = self.deposit.wei * self.weight // WHOLE
        return self.lines.compute_line(CHANNEL, amount(part, self.deposit.epoch))

    @property
    def spare(self) -> Amount:
        return amount(self.line.wei - self.compute_used(self.line.epoch), self.line.epoch)

    def compute_used(self, epoch: int) -> int:
        """What its vouchers promise: they are all of epoch 0 here, the worst for rounding."""
        return rescale(self.used, 0, epoch)

    def keep(self, rows: Sequence[Row]) -> None:
        for row in rows:
            assert isinstance(row, LoanRow)
            self.disk[row.peer] = row

    def restart(self) -> None:
        self.lines = Lines()
        self.lines.restore(self.disk.values())


@dataclass(frozen=True)
class Ask:
    sender: int
    to: int
    have: Amount
    want: Amount


@dataclass(frozen=True)
class Grant:
    sender: int
    to: int
    given: Amount


class Farm(RuleBasedStateMachine):
    """A hostile payer, a network that loses, repeats and delays, and members that crash."""

    members: list[Member]

    @initialize(
        weights=st.lists(st.integers(1, WHOLE), min_size=2, max_size=5), money=st.integers(0, 10**6)
    )
    def begin(self, weights: list[int], money: int) -> None:
        total = max(sum(weights), WHOLE)
        self.members = [Member(weight * WHOLE // total) for weight in weights]
        self.deposit = amount(money)
        self.under_way: list[Ask | Grant] = []

    def pick(self, number: int) -> Member:
        return self.members[number % len(self.members)]

    @rule(number=st.integers(0, 4))
    def look_at_the_chain(self, number: int) -> None:
        self.pick(number).deposit = self.deposit

    @rule(more=st.integers(1, 10**6))
    def top_up(self, more: int) -> None:
        self.deposit = amount(self.deposit.wei + more, self.deposit.epoch)

    @precondition(lambda self: self.deposit.epoch < 3)
    @rule()
    def split(self) -> None:
        self.deposit = self.deposit.rescale(Epoch(self.deposit.epoch + 1))

    @rule(number=st.integers(0, 4), wei=st.integers(1, 10**6))
    def bring_a_voucher(self, number: int, wei: int) -> None:
        member = self.pick(number)
        if rescale(member.used + wei, 0, member.line.epoch) <= member.line.wei:
            member.used += wei

    @rule(sender=st.integers(0, 4), to=st.integers(0, 4), want=st.integers(1, 10**6))
    def ask(self, sender: int, to: int, want: int) -> None:
        sender, to = sender % len(self.members), to % len(self.members)
        if sender != to:
            have = self.members[sender].lines.get_taken(CHANNEL, peer(to))
            self.under_way.append(Ask(sender, to, have, amount(want, self.deposit.epoch)))

    @precondition(lambda self: self.under_way)
    @rule(
        which=st.integers(0, 99),
        stays=st.booleans(),
        fate=st.sampled_from(["good", "good", "crash before", "crash after"]),
    )
    def deliver(self, which: int, stays: bool, fate: str) -> None:
        """A message arrives, maybe again later; who gets it may crash before it is durable, or
        before it has answered.
        """
        which %= len(self.under_way)
        message = self.under_way[which] if stays else self.under_way.pop(which)
        member = self.members[message.to]
        answer, rows = self.answer(member, message)
        if fate != "crash before":
            member.keep(rows)
        if fate == "good":
            self.under_way += answer
        else:
            member.restart()

    def answer(self, member: Member, message: Ask | Grant) -> tuple[list[Grant], Sequence[Row]]:
        if isinstance(message, Grant):
            return [], member.lines.take(CHANNEL, peer(message.sender), message.given)
        asker = peer(message.sender)
        asked = message.have, message.want, member.spare
        given, rows = member.lines.lend(CHANNEL, asker, *asked)
        return [Grant(message.to, message.sender, given)], rows

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 99))
    def lose(self, which: int) -> None:
        self.under_way.pop(which % len(self.under_way))

    @rule(number=st.integers(0, 4))
    def restart(self, number: int) -> None:
        self.pick(number).restart()

    @invariant()
    def the_lines_never_pass_the_deposit(self) -> None:
        epoch = max(self.deposit.epoch, *(member.line.epoch for member in self.members))
        lines = sum(member.line.rescale(epoch).wei for member in self.members)
        used = sum(member.compute_used(epoch) for member in self.members)
        assert used <= lines <= self.deposit.rescale(epoch).wei

    def teardown(self) -> None:
        """With all alive, what is left of the lines can be spent at any one member."""
        members = getattr(self, "members", ())
        for member in members:
            member.deposit = self.deposit
        for taker, giver in permutations(range(len(members)), 2):
            self.borrow(taker, giver, amount(0))  # says again what was lost
        for giver in range(1, len(members)):
            self.borrow(0, giver, self.deposit)
        for other in members[1:]:
            assert other.spare.wei == 0
        parts = sum(self.deposit.wei * member.weight // WHOLE for member in members)
        if members:
            epoch = members[0].line.epoch
            used = sum(other.compute_used(epoch) for other in members[1:])
            assert members[0].line.wei == rescale(parts, self.deposit.epoch, epoch) - used

    def borrow(self, taker: int, giver: int, want: Amount) -> None:
        have = self.members[taker].lines.get_taken(CHANNEL, peer(giver))
        [grant], _ = self.answer(self.members[giver], Ask(taker, giver, have, want))
        self.answer(self.members[taker], grant)


Farm.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestFarm = Farm.TestCase
