"""How long a run waits for deposits."""

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as given
from p2p_modelex.core.runs import DEPOSITS_MS
from p2p_modelex.ids import JobId
from p2p_modelex.units import UnixMs
from tests.core.buyer import Buyer, build_state
from tests.core.test_buying import CEILING


def stop_waiting(buyer: Buyer, job: JobId) -> None:
    buyer.now = UnixMs(buyer.now + DEPOSITS_MS)
    fire(buyer, job)


def fire(buyer: Buyer, job: JobId) -> None:
    buyer.tell(given.TimerFired(fx.TimerId(f"run/{job.hex()}/deposits")))


def test_a_deposit_is_not_waited_for_for_ever() -> None:
    """RTE-51: it may still be made, and whoever asks then is served."""
    buyer = Buyer(2)
    job = buyer.request()
    first = buyer.vendor()
    stop_waiting(buyer, job)
    failed = buyer.ended()
    assert failed.code == "no_channel"
    assert "not in yet" in failed.reason
    buyer.tell(given.ChannelOpened(first.account, build_state(first.account, CEILING)))
    buyer.request(2, only=(first.key.peer,))
    assert buyer.opened().peer == first.key.peer


def test_who_waited_too_long_goes_on_where_it_can_pay_at_once() -> None:
    """RTE-51."""
    buyer = Buyer(2)
    job = buyer.request()
    rich = next(one for one in buyer.vendors if one is not buyer.vendor())
    buyer.payer.note_channel(build_state(rich.account, 10_000), None)
    stop_waiting(buyer, job)
    assert buyer.opened().peer == rich.key.peer


def test_deposits_are_waited_for_so_long_in_all() -> None:
    """RTE-51: the time at a provider does not count, and what failed before does."""
    buyer = Buyer(3)
    buyer.request(1)
    [began] = [one for one in buyer.effects if isinstance(one, fx.SetTimer)]
    assert began.at == buyer.now + DEPOSITS_MS
    buyer.now = UnixMs(buyer.now + 50_000)
    buyer.tell(given.ChannelOpenFailed(buyer.vendor().account, "no gas"))
    assert not any(isinstance(one, fx.SetTimer) for one in buyer.effects), "it runs already"
    buyer.make()
    assert fx.CancelTimer(began.timer) in buyer.effects
    buyer.now = UnixMs(buyer.now + 10_000)
    buyer.refuse("busy")
    assert fx.SetTimer(began.timer, UnixMs(buyer.now + DEPOSITS_MS - 50_000)) in buyer.effects


def test_a_timer_that_was_too_late_to_be_cancelled_is_passed_over() -> None:
    """It waited for the disk behind the input that ended the wait."""
    buyer = Buyer(2)
    job = buyer.request()
    buyer.make()
    fire(buyer, job)
    assert not buyer.effects, "it has ordered"


def test_a_timer_of_an_earlier_wait_ends_no_later_one() -> None:
    """RTE-51."""
    buyer = Buyer(3)
    job = buyer.request()
    buyer.make()
    buyer.refuse("busy")
    fire(buyer, job)
    assert not buyer.effects, "it has not waited for so long"
