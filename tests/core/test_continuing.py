"""Failover in the middle of an answer: what another provider goes on from, and when none does."""

from typing import Any

import msgspec
import pytest

from p2p_modelex import limits
from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as given
from p2p_modelex.core.wants import continue_request
from p2p_modelex.records import codec
from p2p_modelex.records.job import CONTINUE, Chunk, Message, Request
from tests.core.exchange.pair import CHAT, REQUEST
from tests.core.racing import PROMPT, Fair, Stand

SAID = "one two "


def broken_off(fair: Fair, **changes: Any) -> Stand:
    """The provider of the last order, after it failed in the middle; the next one is ordered."""
    fair.request(**({"may_continue": True} | changes))
    first = fair.stands[-1].ready().start().speak("one ").speak("two ")
    fair.now += 100  # type: ignore[assignment]  # for the second piece, which is held for a while
    first.step(given.TimerFired(fx.TimerId(f"exchange/{1}/chunk")))
    first.fail()
    return first


def ordered(fair: Fair) -> Request:
    sale = fair.stands[-1].ready().exchange._sale
    assert sale is not None
    return sale.request


def sell_continuing(fair: Fair) -> None:
    """Let everybody offer to go on with turns of the assistant's."""
    for vendor in fair.vendors:
        (ware,) = vendor.seller.wares
        offer = msgspec.structs.replace(ware.offer, features=(CONTINUE,))
        said = msgspec.structs.replace(vendor.entry.advertisement, offers=(offer,))
        vendor.entry = msgspec.structs.replace(vendor.entry, advertisement=said)
        vendor.sell(offer)


def test_another_provider_goes_on_from_the_text_so_far() -> None:
    """RTE-45."""
    fair = Fair()
    first = broken_off(fair)
    request = ordered(fair)
    assert (request.text, request.max_tokens) == (REQUEST.text + SAID, REQUEST.max_tokens - 2)
    fair.stands[-1].start().speak("three ").finish()
    (continued,) = fair.told(fx.RunContinued)
    assert (continued.why.peer, fair.told(fx.RunRestarted)) == (first.vendor.key.peer, [])
    assert [(text.text, text.tokens) for text in fair.told(fx.RunText)] == [
        ("one ", 1),
        ("two ", 2),
        ("three ", 3),
    ]
    (finished,) = fair.told(fx.RunFinished)
    assert finished.row.completion == "three "
    assert finished.row.request.text.endswith(SAID)
    assert fair.paid() == PROMPT + 10


def test_without_leave_and_after_a_breach_of_the_rules_it_begins_again() -> None:
    """RTE-45."""
    fair = Fair()
    broken_off(fair, may_continue=False)
    assert ordered(fair) == msgspec.structs.replace(REQUEST, weights=ordered_weights(fair))
    assert len(fair.told(fx.RunRestarted)) == 1
    hostile = Fair()
    hostile.request(may_continue=True)
    liar = hostile.stands[-1].ready().start().speak("one ")
    liar.say(codec.encode(Chunk(liar.job, 7, "x", 2, ())))
    hostile.stands[-1].ready().start().speak("one ").finish()
    assert len(hostile.told(fx.RunRestarted)) == 1
    assert [text.tokens for text in hostile.told(fx.RunText)] == [1, 1]


def ordered_weights(fair: Fair) -> bytes:
    sale = fair.stands[-1].exchange._sale
    assert sale is not None
    return sale.request.weights


@pytest.mark.parametrize("is_able", [True, False])
def test_a_chat_goes_on_where_the_model_can(is_able: bool) -> None:
    """RTE-45."""
    fair = Fair()
    if is_able:
        sell_continuing(fair)
    broken_off(fair, request=CHAT)
    request = ordered(fair)
    kinds = (fx.RunContinued, fx.RunRestarted)
    assert [len(fair.told(kind)) for kind in kinds] == ([1, 0] if is_able else [0, 1])
    turns = (*CHAT.messages, Message("assistant", SAID)) if is_able else CHAT.messages
    assert request.messages == turns


def test_beside_one_that_goes_on_no_other_begins_again() -> None:
    """RTE-45, RTE-43."""
    fair = Fair(3)
    broken_off(fair)
    assert fair.told(fx.RunContinued)
    run = next(iter(fair.buying._runs.values()))
    run.said.clear()
    assert fair.buying._ordering.order_beside(run, fair.now) == []


def test_who_breaks_the_rules_before_it_says_anything_spoils_nothing_of_others() -> None:
    """RTE-45: two go on, one of them lies at once, the other fails later."""
    fair = Fair(4).teach()
    broken_off(fair, attempts=4, hedge=True)
    going_on = fair.stands[-1].ready().start()
    fair.fire("late")
    liar = fair.stands[-1].ready().start()
    assert liar is not going_on
    liar.say(codec.encode(Chunk(liar.job, 7, "x", 2, ())))
    going_on.speak("three ").fail()
    assert ordered(fair).text == REQUEST.text + SAID + "three "
    assert len(fair.told(fx.RunContinued)) == 2
    assert fair.told(fx.RunRestarted) == []


def test_text_of_no_tokens_is_gone_on_from_too() -> None:
    """RTE-45: beside who goes on from it nobody begins again."""
    fair = Fair(3)
    fair.request(may_continue=True)
    fair.stands[-1].ready().start().speak("one ", 0).fail()
    assert fair.told(fx.RunContinued)
    run = next(iter(fair.buying._runs.values()))
    run.said.clear()
    assert fair.buying._ordering.order_beside(run, fair.now) == []


def test_what_there_is_no_rest_of() -> None:
    """RTE-45."""
    change = msgspec.structs.replace
    assert continue_request(change(REQUEST, kind="score"), "5", 1) is None
    assert continue_request(change(REQUEST, grammar="root ::= [a]"), "a", 1) is None
    assert continue_request(change(CHAT, tools='{"tools":[]}'), "a", 1) is None
    assert continue_request(REQUEST, "all", REQUEST.max_tokens) is None
    assert continue_request(REQUEST, "x" * limits.PROMPT_BYTES, 1) is None
    turns = (Message("user", "Hi"),) * limits.MESSAGES_MAX
    assert continue_request(change(CHAT, messages=turns), "a", 1) is None
    begun = change(CHAT, messages=(*CHAT.messages, Message("assistant", "one ")))
    gone_on = continue_request(begun, "two ", 1)
    assert gone_on is not None
    assert gone_on.messages == (*CHAT.messages, Message("assistant", SAID))
