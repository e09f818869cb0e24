"""The anchoring machine: reading, following, losing the chain; and when a node anchors itself."""

import pytest

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as given
from p2p_modelex.core.anchoring import own
from p2p_modelex.core.anchoring.machine import (
    READ_AGAIN_MS,
    READ_RETRY_MAX_MS,
    READ_TIMER,
    AnchoringMachine,
)
from p2p_modelex.core.anchoring.marks import UNMARKED, Freshness, Mark
from p2p_modelex.core.anchoring.own import ANCHOR_TIMER, SENT, AnchoringPolicy
from p2p_modelex.core.anchoring.substance import compute_anchor
from p2p_modelex.ids import Digest
from p2p_modelex.records.advertisement import Advertisement, Section
from p2p_modelex.records.registry import (
    Deregistered,
    HandedOver,
    Registered,
    RegistryChange,
    RegistryEntry,
    SectionChanged,
    Standing,
    Updated,
)
from p2p_modelex.records.rows import Row, SettingRow
from p2p_modelex.units import Millis, UnixMs, Wei
from tests.core.anchoring.cases import (
    AD,
    ANCHOR,
    KEY,
    LISTED,
    OPERATOR,
    PEER,
    SECOND,
    SUSPENDED,
    change,
    entry,
    event,
    renewed,
)
from tests.core.directory.worlds import NOW, offer

INTERVAL = Millis(3600_000)
DEARER = change(AD, offers=(offer(completion_price=Wei(9)),))
OLD = Digest(b"o" * 32)


class Bench:
    """A machine, its clock, what it had made durable and what it asked for."""

    def __init__(self, *, registers: bool = True, rows: tuple[Row, ...] = ()) -> None:
        self.now = NOW
        self.sequence = NOW
        self.rows: dict[str, Row] = {}
        policy = AnchoringPolicy(registers, INTERVAL)
        self.machine = AnchoringMachine(KEY.peer, OPERATOR, policy, lambda: self.sequence)
        self.machine.restore(rows, None)
        self.effects: list[fx.Effect] = []

    def take(self, effects: list[fx.Effect]) -> list[fx.Effect]:
        self.effects = effects
        for effect in effects:
            if isinstance(effect, fx.Persist):
                self.rows |= {row.name: row for row in effect.rows if isinstance(row, SettingRow)}
        return effects

    def tell(self, happened: given.Input) -> list[fx.Effect]:
        return self.take(self.machine.step(happened, self.now))

    def read(self, *entries: RegistryEntry) -> list[fx.Effect]:
        """Read all there is; returns the effects but for the next reading's timer."""
        _, *effects = self.tell(given.RegistryRead(entries, is_first=True, is_last=True))
        return effects

    def hear(self, what: RegistryChange, *, undone: bool = False) -> list[fx.Effect]:
        return self.tell(given.RegistryChanged(event(what, undone=undone)))

    def advertise(self, told: Advertisement | None) -> list[fx.Effect]:
        return self.take(self.machine.advertise(told, self.now))

    def wait(self, milliseconds: int) -> list[fx.Effect]:
        self.now = UnixMs(self.now + milliseconds)
        self.sequence = self.now
        return self.tell(given.TimerFired(ANCHOR_TIMER))

    def anchors(self) -> list[fx.PutAnchor]:
        return [effect for effect in self.effects if isinstance(effect, fx.PutAnchor)]

    def restart(self) -> "Bench":
        """The node as it is after a crash now."""
        again = Bench(rows=tuple(self.rows.values()))
        again.now = again.sequence = self.now
        return again

    def standing(self) -> Standing:
        return self.machine.get_standing(KEY.peer, AD)

    def claim(self) -> Section:
        return self.machine.claim


def test_a_reading_takes_effect_as_a_whole() -> None:
    """ANC-9."""
    bench = Bench(registers=False)
    assert bench.machine.start() == [fx.ReadRegistry(PEER)]
    assert bench.machine.compute_mark(KEY.peer, AD) == UNMARKED
    page = (entry(section=LISTED),)
    bench.tell(given.RegistryRead(page, is_first=True, is_last=False))
    assert (bench.standing(), bench.machine.is_read) == (Standing.UNREGISTERED, False)
    bench.tell(given.RegistryRead((), is_first=False, is_last=True))
    assert (bench.standing(), bench.machine.is_read) == (Standing.WHITELISTED, True)
    mark = Mark(Standing.WHITELISTED, Freshness.CURRENT, OPERATOR)
    assert bench.machine.compute_mark(KEY.peer, AD) == mark
    bench.tell(given.RegistryRead((), is_first=True, is_last=False))
    assert bench.standing() is Standing.WHITELISTED
    bench.tell(given.RegistryRead((), is_first=False, is_last=True))
    assert bench.standing() is Standing.UNREGISTERED


def test_events_change_marks_and_reorgs_change_them_back() -> None:
    """ANC-8."""
    bench = Bench(registers=False)
    bench.read(entry(section=LISTED))
    bench.hear(SectionChanged(PEER, OPERATOR, SUSPENDED))
    assert bench.standing() is Standing.SUSPENDED
    bench.hear(SectionChanged(PEER, OPERATOR, SUSPENDED), undone=True)
    assert bench.standing() is Standing.WHITELISTED


def test_what_cannot_be_undone_is_read_anew() -> None:
    bench = Bench(registers=False)
    bench.read(entry(section=LISTED))
    assert bench.hear(Deregistered(PEER, OPERATOR), undone=True) == [fx.ReadRegistry(PEER)]
    assert bench.standing() is Standing.WHITELISTED
    # What the last reading's follower still has to say is of no use any more.
    assert bench.hear(Deregistered(PEER, OPERATOR)) == []
    assert bench.standing() is Standing.WHITELISTED
    bench.read()
    assert bench.standing() is Standing.UNREGISTERED


def test_the_registry_is_read_anew_once_a_day() -> None:
    bench = Bench(registers=False)
    bench.read(entry())
    [timer] = bench.effects
    assert timer == fx.SetTimer(READ_TIMER, UnixMs(NOW + READ_AGAIN_MS))
    assert bench.tell(given.TimerFired(READ_TIMER)) == [fx.ReadRegistry(PEER)]
    assert bench.hear(Deregistered(PEER, OPERATOR)) == []
    assert bench.standing() is Standing.REGISTERED
    bench.read()
    assert bench.standing() is Standing.UNREGISTERED


def test_events_before_a_reading_are_not_for_us() -> None:
    bench = Bench(registers=False)
    assert bench.hear(Registered(PEER, OPERATOR, ANCHOR, 1)) == []
    assert bench.tell(given.RegistryRead((), is_first=False, is_last=True)) == []
    assert not bench.machine.is_read


def test_a_lost_chain_is_tried_again_later_and_later_and_marks_stay() -> None:
    bench = Bench(registers=False)
    bench.read(entry())
    pauses = []
    for _ in range(12):
        [timer] = bench.tell(given.RegistryLost())
        assert isinstance(timer, fx.SetTimer)
        pauses.append(timer.at - bench.now)
        assert bench.tell(given.TimerFired(READ_TIMER)) == [fx.ReadRegistry(PEER)]
    assert pauses[:3] == [5_000, 10_000, 20_000]
    assert pauses[-1] == READ_RETRY_MAX_MS
    assert bench.standing() is Standing.REGISTERED
    bench.tell(given.RegistryRead((), is_first=True, is_last=False))
    bench.tell(given.RegistryLost())
    assert bench.tell(given.RegistryRead((), is_first=False, is_last=True)) == []
    assert bench.standing() is Standing.REGISTERED
    bench.read()
    [timer] = bench.tell(given.RegistryLost())
    assert timer == fx.SetTimer(READ_TIMER, UnixMs(bench.now + 5_000))


def test_a_claim_is_of_ones_own_entry() -> None:
    """ANC-11."""
    bench = Bench(registers=False)
    assert bench.claim() is Section.UNREGISTERED
    bench.machine.restore((), entry())
    assert bench.claim() is Section.PUBLIC
    bench.read(entry(section=LISTED))
    assert bench.claim() is Section.WHITELISTED
    bench.hear(SectionChanged(PEER, OPERATOR, SUSPENDED))
    assert bench.claim() is Section.PUBLIC


def test_a_node_registers_once_the_registry_is_read_and_durably_first() -> None:
    """ANC-2, ANC-3."""
    bench = Bench()
    assert bench.advertise(AD) == []
    effects = bench.read()
    assert isinstance(effects[0], fx.Persist)
    assert effects[1] == fx.PutAnchor(PEER, ANCHOR, NOW)
    assert bench.hear(Registered(KEY.public_key, SECOND, ANCHOR, NOW)) == []
    bench.tell(given.AnchorPut())
    bench.hear(Registered(PEER, OPERATOR, ANCHOR, NOW))
    assert bench.anchors() == []
    assert bench.wait(10 * INTERVAL) == []
    assert bench.advertise(renewed(AD)) == []  # what is signed anew is not anchored anew


@pytest.mark.parametrize("told", [None, AD])
def test_who_does_not_want_to_or_advertises_nothing_is_not_registered(
    told: Advertisement | None,
) -> None:
    bench = Bench(registers=told is None)
    bench.read()
    assert bench.advertise(told) == []


def test_what_is_anchored_already_is_left_alone() -> None:
    bench = Bench()
    bench.advertise(AD)
    assert bench.read(entry()) == []


def test_changes_are_anchored_at_most_once_in_the_interval() -> None:
    """ANC-3."""
    bench = Bench()
    bench.advertise(AD)
    bench.read(entry(digest=OLD, sequence=1))
    bench.tell(given.AnchorPut())
    bench.hear(Updated(PEER, OPERATOR, ANCHOR, NOW))
    due = UnixMs(NOW + INTERVAL)
    assert bench.advertise(DEARER) == [fx.SetTimer(ANCHOR_TIMER, due)]
    assert bench.wait(INTERVAL - 1) == [fx.SetTimer(ANCHOR_TIMER, due)]
    bench.wait(1)
    assert bench.anchors() == [fx.PutAnchor(PEER, compute_anchor(DEARER), due)]


def test_a_change_that_is_taken_back_in_time_costs_nothing() -> None:
    bench = Bench()
    bench.advertise(AD)
    bench.read()
    bench.tell(given.AnchorPut())
    bench.hear(Registered(PEER, OPERATOR, ANCHOR, NOW))
    bench.advertise(DEARER)
    bench.advertise(AD)
    assert bench.wait(INTERVAL) == []


def test_a_change_while_an_anchor_is_under_way_waits_for_it() -> None:
    bench = Bench()
    bench.advertise(AD)
    bench.read()
    assert bench.advertise(DEARER) == []
    assert bench.wait(2 * INTERVAL) == []
    bench.tell(given.AnchorPut())
    assert [one.digest for one in bench.anchors()] == [compute_anchor(DEARER)]


def test_failures_are_retried_later_and_later_with_the_same_sequence() -> None:
    bench = Bench()
    bench.advertise(AD)
    bench.read()
    pauses = []
    for _ in range(9):
        _, timer = bench.tell(given.AnchorFailed())
        assert isinstance(timer, fx.SetTimer)
        pauses.append(timer.at - bench.now)
        bench.wait(pauses[-1])
        assert bench.anchors() == [fx.PutAnchor(PEER, ANCHOR, NOW)]
    assert pauses[:3] == [60_000, 120_000, 240_000]
    assert pauses[-1] == own.RETRY_MAX_MS
    bench.tell(given.AnchorPut())
    bench.hear(Registered(PEER, OPERATOR, ANCHOR, NOW))
    assert bench.advertise(DEARER) == [fx.SetTimer(ANCHOR_TIMER, UnixMs(bench.now + INTERVAL))]


def test_a_sequence_that_the_entry_has_passed_is_not_sent_again() -> None:
    bench = Bench()
    bench.advertise(AD)
    bench.read(entry(digest=OLD, sequence=NOW))  # anchored beside us
    bench.tell(given.AnchorFailed())
    bench.wait(60_000)
    assert [one.sequence for one in bench.anchors()] == [bench.now]


def test_an_anchor_that_is_mined_and_never_seen_is_sent_again_in_the_end() -> None:
    bench = Bench()
    bench.advertise(AD)
    bench.read()
    assert bench.tell(given.AnchorPut()) == [
        fx.SetTimer(ANCHOR_TIMER, UnixMs(NOW + max(INTERVAL, own.RESEND_MS)))
    ]
    bench.wait(max(INTERVAL, own.RESEND_MS))
    assert bench.anchors() == [fx.PutAnchor(PEER, ANCHOR, NOW)]


def test_a_crash_does_not_have_one_digest_sent_twice() -> None:
    """ANC-3: what may be on its way is waited for, as if it had not crashed."""
    bench = Bench()
    bench.advertise(AD)
    bench.read()
    again = bench.restart()
    again.advertise(AD)
    assert again.read() == [fx.SetTimer(ANCHOR_TIMER, UnixMs(NOW + INTERVAL))]
    again.hear(Registered(PEER, OPERATOR, ANCHOR, NOW))
    assert again.wait(INTERVAL) == []


def test_a_clock_that_went_back_is_not_waited_for() -> None:
    bench = Bench()
    bench.advertise(AD)
    bench.read()
    again = bench.restart()
    again.now = UnixMs(NOW - 10 * INTERVAL)
    again.advertise(DEARER)
    again.read()
    assert [one.digest for one in again.anchors()] == [compute_anchor(DEARER)]


def test_a_failure_before_a_restart_is_not_waited_for_longer_than_a_minute() -> None:
    bench = Bench()
    bench.advertise(AD)
    bench.read()
    bench.tell(given.AnchorFailed())
    again = bench.restart()
    again.machine.restore((SettingRow("another", b""),), None)
    again.advertise(AD)
    assert again.read() == [fx.SetTimer(ANCHOR_TIMER, UnixMs(NOW + own.RETRY_MS))]
    again.wait(own.RETRY_MS)
    assert again.anchors() == [fx.PutAnchor(PEER, ANCHOR, NOW)]


@pytest.mark.parametrize("gone", [Deregistered(PEER, OPERATOR), HandedOver(PEER, OPERATOR, SECOND)])
def test_an_entry_that_was_taken_away_is_not_made_again(gone: RegistryChange) -> None:
    """ANC-4."""
    bench = Bench()
    bench.advertise(AD)
    bench.read(entry())
    assert bench.hear(gone) == []
    assert bench.advertise(DEARER) == []
    assert bench.wait(10 * INTERVAL) == []
    assert bench.hear(gone, undone=True) != []
    assert [one.digest for one in bench.anchors()] == [compute_anchor(DEARER)]


def test_an_entry_that_a_reorg_took_away_is_waited_for() -> None:
    bench = Bench()
    bench.advertise(AD)
    bench.read()
    bench.tell(given.AnchorPut())
    made = Registered(PEER, OPERATOR, ANCHOR, NOW)
    bench.hear(made)
    assert bench.hear(made, undone=True) == [fx.SetTimer(ANCHOR_TIMER, UnixMs(NOW + INTERVAL))]
    bench.hear(made)
    assert bench.wait(INTERVAL) == []


def test_answers_that_nobody_asked_for_change_nothing() -> None:
    bench = Bench()
    assert bench.tell(given.AnchorPut()) == []
    bench.advertise(AD)
    bench.read()
    bench.tell(given.AnchorPut())
    assert bench.tell(given.AnchorFailed()) == []
    assert bench.tell(given.ShutDown()) == []
    assert SENT in bench.rows


def test_who_leaves_anchors_no_more() -> None:
    bench = Bench()
    bench.read()
    bench.advertise(None)
    assert bench.wait(INTERVAL) == []
