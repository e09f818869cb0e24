"""A hostile payer, members that crash and die, streams that break: the deposit is not outrun."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from p2p_modelex.core import effects as fx
from p2p_modelex.core.members.parameters import CALL_TIMEOUT_MS, NEED_MS
from tests.core.exchange.pair import REQUESTER_KEY
from tests.core.members.scene import CEILING, CHANNEL, Farm, Member

DEPOSIT = 4_000
MEMBERS = st.integers(0, 4)


class Siege(RuleBasedStateMachine):
    """Whole sellers, whose frames arrive in any order of streams."""

    farm: Farm

    @initialize(weights=st.lists(st.integers(1, 10_000), min_size=2, max_size=5))
    def begin(self, weights: list[int]) -> None:
        total = max(sum(weights), 10_000)
        shares = [max(1, weight * 10_000 // total) for weight in weights]
        self.farm = Farm(*shares, deposit=DEPOSIT)
        self.farm.gossip()
        self.jobs = 0

    def pick(self, number: int) -> Member:
        return self.farm.members[number % len(self.farm.members)]

    def pick_living(self, number: int) -> Member:
        living = [one for one in self.farm.members if one.place not in self.farm.dead]
        return living[number % len(living)]

    @rule(
        number=MEMBERS,
        amount=st.sampled_from([0, CEILING, 1_500]),
        lane=st.integers(0, 9),
        is_at_once=st.booleans(),
    )
    def order(self, number: int, amount: int, lane: int, is_at_once: bool) -> None:
        """The payer pays ahead as much as it likes, as if nothing were promised elsewhere."""
        self.jobs += 1
        self.pick_living(number).order(self.jobs, amount, lane=lane, base=min(amount, 500))
        if is_at_once:
            self.farm.pump()

    @precondition(lambda self: self.farm.under_way)
    @rule(which=st.integers(0, 99))
    def deliver(self, which: int) -> None:
        self.farm.deliver(which)

    @rule()
    def gossip(self) -> None:
        self.farm.gossip()

    @rule(number=MEMBERS)
    def finish(self, number: int) -> None:
        member = self.pick_living(number)
        if member.generating:
            member.finish()

    @rule(number=MEMBERS)
    def crash(self, number: int) -> None:
        self.farm.restart(self.pick_living(number))

    @precondition(lambda self: len(self.farm.dead) < len(self.farm.members) - 1)
    @rule(number=MEMBERS)
    def die(self, number: int) -> None:
        self.farm.dead.add(self.pick_living(number).place)

    @precondition(lambda self: self.farm.dead)
    @rule()
    def rise(self) -> None:
        place = min(self.farm.dead)
        self.farm.dead.remove(place)
        self.farm.restart(self.farm.members[place])

    @precondition(lambda self: self.farm.ends)
    @rule(which=st.integers(0, 99))
    def break_a_stream(self, which: int) -> None:
        """Both ends lose it."""
        ends = list(self.farm.ends)
        place, stream = ends[which % len(ends)]
        other, theirs = self.farm.ends[place, stream]
        self.farm.carry(self.farm.members[place], fx.ResetStream(stream))
        self.farm.carry(self.farm.members[other], fx.ResetStream(theirs))

    @rule(more_ms=st.sampled_from([100, NEED_MS, CALL_TIMEOUT_MS]))
    def pass_time(self, more_ms: int) -> None:
        self.farm.pass_time(more_ms)

    @invariant()
    def no_more_than_the_deposit_is_promised(self) -> None:
        if hasattr(self, "farm"):
            assert sum(member.promised for member in self.farm.members) <= DEPOSIT
            known = [one for one in self.farm.members if one.ledger.get_account(CHANNEL)]
            assert sum(member.line for member in known) <= DEPOSIT

    def teardown(self) -> None:
        """No member is ever blamed for anything: the payer may be."""
        members = self.farm.members if hasattr(self, "farm") else []
        blamed = {one.peer for member in members for one in member.penalties}
        assert blamed <= {REQUESTER_KEY.peer}


TestSiege = Siege.TestCase
TestSiege.settings = settings(max_examples=50, stateful_step_count=30)


def test_a_voucher_over_the_deposit_is_refused_by_the_last_of_three() -> None:
    """Each of them could take it, were it alone."""
    farm = Farm(4_000, 3_000, 3_000, deposit=2 * CEILING + 100)
    farm.gossip()
    told = []
    for number, member in enumerate(farm.members):
        stream = member.order(number, CEILING)
        farm.pump()
        told.append(member.told(stream))
    assert told == ["Started", "Started", "channel_exhausted"]
    assert sum(member.promised for member in farm.members) == 2 * CEILING
