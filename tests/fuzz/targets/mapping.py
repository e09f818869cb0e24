"""A map, whatever its members answer: nothing is answered twice, lost, or dearer than it may be."""

from collections.abc import Sequence

from p2p_modelex.core.mapping import acts
from p2p_modelex.core.mapping.machine import ATTEMPTS, EXTRAS_FLOOR, EXTRAS_SHARE, MappingMachine
from p2p_modelex.limits import LANES_MAX
from p2p_modelex.units import UnixMs, Wei
from tests.core.mapping.floor import START, peer, sighting
from tests.fuzz.choices import Choices

BUDGET, AT_ONCE, MEMBERS = 900, 12, 5
CODES = ("engine", "stream", "busy", "no_channel", "shutting_down", "prompt_too_long", "cancelled")
WAITS = (0, 1, 100, 5_000, 2**32 - 1)


class Watch:
    """What has been asked for, and that it may be."""

    def __init__(self) -> None:
        self.machine = MappingMachine(Wei(1_000), Wei(BUDGET), AT_ONCE, START)
        self.orders: dict[int, acts.Begin] = {}
        self.cancelled: set[int] = set()
        self.settled: set[int] = set()
        self.failures: dict[int, int] = {}
        self.here: set[bytes] = set()
        self.told = self.begun = self.extras = self.paid = 0
        self.is_stopped = self.is_drained = False

    def tell(self, happened: acts.Happened, now: UnixMs) -> None:
        """Step, and check everything that it asks for."""
        for act in self.machine.step(happened, now):
            self._check(act)
        assert self.machine.in_hand == len(self.orders) <= AT_ONCE
        at = self.machine.get_timer(now)
        assert at is None or at > now
        if self.machine.is_done and self.is_drained and not self.is_stopped:
            assert self.settled == set(range(self.told))

    def _check(self, act: acts.Act) -> None:
        match act:
            case acts.Begin():
                self._check_begin(act)
            case acts.Cancel(order):
                assert order in self.orders
                assert order not in self.cancelled
                self.cancelled.add(order)
            case acts.Keep(number) | acts.GiveUp(number):
                assert number not in self.settled
                self.settled.add(number)
                if isinstance(act, acts.GiveUp):
                    assert self.failures[number] >= ATTEMPTS
            case acts.Stop():
                assert not self.orders
                self.is_stopped = True

    def _check_begin(self, begin: acts.Begin) -> None:
        assert not self.is_stopped
        assert begin.number not in self.settled
        assert bytes(begin.peer) in self.here
        others = [one.peer for one in self.orders.values() if one.number == begin.number]
        assert bool(others) == begin.is_extra
        assert begin.peer not in others
        self.orders[begin.order] = begin
        self.begun += 1
        self.extras += begin.is_extra
        assert self.extras <= EXTRAS_FLOOR + self.begun // EXTRAS_SHARE
        assert self.paid + sum(one.max_cost for one in self.orders.values()) <= BUDGET
        at_it = [one for one in self.orders.values() if one.peer == begin.peer]
        assert len(at_it) <= LANES_MAX

    def end(self, order: int, paid: int) -> None:
        """An order is over: what follows is about others."""
        begin = self.orders.pop(order)
        self.paid += paid
        self.failures[begin.number] = self.failures.get(begin.number, 0) + 1


def run(content: bytes) -> None:
    choices, watch, now = Choices(content), Watch(), int(START)
    while choices:
        now += choices.pick((0, 1, 40, 400, 3_000, 70_000))
        _act(watch, choices, UnixMs(now))


def _act(watch: Watch, choices: Choices, now: UnixMs) -> None:
    match choices.below(8):
        case 0:
            _see(watch, choices, now)
        case 1 | 2 if watch.machine.room and not watch.is_drained:
            watch.told += 1
            watch.tell(acts.TaskCame(watch.told - 1, choices.below(20), 1), now)
        case 3 | 4 if watch.orders:
            order = choices.pick(list(watch.orders))
            paid = Wei(min(choices.below(20), watch.orders[order].max_cost))
            watch.end(order, paid)
            watch.tell(acts.OrderDone(order, paid), now)
        case 5 if watch.orders:
            _fail(watch, choices, list(watch.orders), now)
        case 6 if choices.chance(16):
            if choices.chance(128):
                watch.is_drained = True
                watch.tell(acts.SourceEnded(), now)
            else:
                watch.is_stopped = True
                watch.tell(acts.Leave(choices.chance(128)), now)
        case _:
            watch.tell(acts.Woke(), now)


def _see(watch: Watch, choices: Choices, now: UnixMs) -> None:
    numbers = [number for number in range(MEMBERS) if choices.chance(160)]
    watch.here = {bytes(peer(number)) for number in numbers}
    seen = (
        sighting(number, choices.pick((None, 0, 1, 3, 2**32 - 1)), choices.below(4))
        for number in numbers
    )
    watch.tell(acts.MembersSeen(tuple(seen), "" if numbers else "nobody"), now)


def _fail(watch: Watch, choices: Choices, orders: Sequence[int], now: UnixMs) -> None:
    order = choices.pick(orders)
    paid = Wei(min(choices.below(20), watch.orders[order].max_cost))
    watch.end(order, paid)
    is_fault, wait = choices.chance(128), choices.pick(WAITS)
    failed = acts.OrderFailed(order, choices.pick(CODES), "why", is_fault, wait, paid)
    watch.tell(failed, now)
