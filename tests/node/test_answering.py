"""A provider's engine answers what its account is asked on a real chain, and nothing else."""

import hashlib
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import pytest

from p2p_modelex.chain.contracts.network import Network
from p2p_modelex.chain.contracts.oracle import OracleHub, Status
from p2p_modelex.chain.contracts.prompts import PromptLibrary, TemplateDraft
from p2p_modelex.chain.contracts.questions import (
    Kind,
    Provider,
    Terms,
    encode_parameters,
    fill_template,
)
from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.engine.memory import MemoryEngine
from p2p_modelex.errors import BadInput
from p2p_modelex.ids import Digest
from p2p_modelex.node.answering import Answering, Outcome, Service
from p2p_modelex.units import AI, Epoch, Wei
from tests.chain.conftest import anvil
from tests.chain.contracts.conftest import Place, contracts, place
from tests.chain.contracts.scenes import ai
from tests.chain.contracts.test_oracle import ask, make_terms
from tests.chain.worlds import new_key

__all__ = ("anvil", "contracts", "place")

CONTENT = b"Rate {headline} of {day}."
NAMED = Digest(hashlib.sha256(CONTENT).digest())
SERVICE = Service({NAMED: CONTENT}, Wei(AI), 16, 1_000_000)


def engine(**more: Any) -> MemoryEngine:
    return MemoryEngine("toy", **more)


async def run_once(answering: Answering) -> dict[Digest, Outcome]:
    async with aclosing(answering.run_once()) as outcomes:
        return {outcome.request: outcome async for outcome in outcomes}


async def to(provider: Network, **more: Any) -> Terms:
    mine = (Provider(provider.account),)
    return await make_terms(provider, [], **{"providers": mine, "quorum": 1} | more)


async def test_scores_and_texts_are_answered_and_paid(place: Place) -> None:
    asker, provider = await place.newcomer(), await place.newcomer()
    hub, ours = OracleHub(asker), OracleHub(provider)
    score, _ = await ask(hub, await to(provider), ai(2))
    text, _ = await ask(hub, await to(provider, kind=Kind.TEXT, prompt="Grüße".encode()), ai(3))
    async with engine(reply="Good day to you.") as toy:
        answering = Answering(ours, toy, SERVICE, confirmations=0)
        done = await run_once(answering)
        assert list(done) == [score, text]  # the oldest first
        assert done[text] == Outcome(text, "Good day to you.", is_final=True)
        assert done[score].output in range(1, 10)
        assert (await hub.fetch_request(score)).score == done[score].output
        assert await hub.find_output(await hub.find_ask(text)) == b"Good day to you."
        assert await ours.fetch_earned(provider.account) == ai(5)
        assert await run_once(answering) == {}
        # A newcomer that looks at everything finds nothing that is still open.
        assert await run_once(Answering(ours, toy, SERVICE, confirmations=0)) == {}


async def test_one_of_several_answers_for_itself(place: Place) -> None:
    asker, provider, other = await place.newcomer(), await place.newcomer(), new_key()
    both = (Provider(provider.account), Provider(other.address))
    request, asked = await ask(
        OracleHub(asker), await to(provider, providers=both, quorum=2), ai(4)
    )
    async with engine() as toy:
        done = await run_once(Answering(OracleHub(provider), toy, SERVICE, confirmations=0))
    assert not done[request].is_final
    state = await OracleHub(asker).fetch_request(request)
    assert state.status is Status.OPEN
    assert state.answered == (asked.find_provider(provider.account),)


async def test_a_template_is_filled_if_its_content_is_here(place: Place) -> None:
    asker, provider = await place.newcomer(), await place.newcomer()
    library = PromptLibrary(asker)
    known, unknown = await publish(library, [NAMED, Digest(b"\7" * 32)])
    filled = encode_parameters({"headline": "rain {day}", "day": "today"})
    asks = {
        "good": await to(provider, template=known, prompt=filled, kind=Kind.TEXT),
        "unknown": await to(provider, template=unknown, prompt=filled),
        "left over": await to(provider, template=known, prompt=encode_parameters({"day": "x"})),
        "malformed": await to(provider, template=known, prompt=b'{"day": 1}'),
        "deep": await to(provider, template=known, prompt=b"[" * 20_000),
    }
    hub = OracleHub(asker)
    ids = {name: (await ask(hub, terms, ai(1)))[0] for name, terms in asks.items()}
    async with engine() as toy:
        done = await run_once(Answering(OracleHub(provider), toy, SERVICE, confirmations=0))
    output = done[ids["good"]].output
    assert isinstance(output, str)
    assert len(output.split()) == 2  # the template's maxCompletionTokens
    reasons = {name: done[request].reason for name, request in ids.items()}
    assert "is not here" in reasons["unknown"]
    assert reasons["left over"] == "the template has ['day', 'headline'], the parameters ['day']"
    assert "sorted JSON of texts" in reasons["malformed"]
    assert "more than 16384 bytes" in reasons["deep"]


async def publish(library: PromptLibrary, contents: Sequence[Digest]) -> list[Digest]:
    sent = [await library.publish(TemplateDraft(each, ai(0), 2)) for each in contents]
    return [Digest(each.event("Published")["template"]) for each in sent]


async def test_what_cannot_be_answered_says_why_and_is_not_tried_again(place: Place) -> None:
    asker, provider, other = await place.newcomer(), await place.newcomer(), new_key()
    both = (Provider(provider.account), Provider(other.address))
    asks = {
        "poor": (await to(provider), Wei(AI - 1)),
        "pair": (await to(provider, kind=Kind.TEXT, providers=both, quorum=2), Wei(4 * AI)),
        "noise": (await to(provider, prompt=b"\xff"), Wei(AI)),
        "empty": (await to(provider, prompt=b""), Wei(AI)),
        "greedy": (await to(provider, callback=new_key().address, callback_gas=850_001), Wei(AI)),
        "long": (await to(provider, prompt=b"x" * 21_251), Wei(AI)),
        "chat": (await to(provider, kind=Kind.TEXT), Wei(AI)),
    }
    hub, ids = OracleHub(asker), {}
    for name, (terms, wei) in asks.items():
        ids[name], _ = await ask(hub, terms, Amount(wei, Epoch(0)))
    await ask(hub, await make_terms(asker, [other]), ai(1))  # not ours
    async with engine(kinds=("score",)) as toy:
        answering = Answering(OracleHub(provider), toy, SERVICE, confirmations=0)
        done = await run_once(answering)
        assert {outcome.output for outcome in done.values()} == {None}
        assert await run_once(answering) == {}
    reasons = {name: done[request].reason for name, request in ids.items()}
    assert reasons["poor"] == "it pays 0.999999999999999999 AI"
    assert "brought by somebody" in reasons["pair"]
    assert reasons["noise"] == "its prompt is not UTF-8"
    assert "empty" in reasons["empty"]
    assert reasons["greedy"].endswith("gas, over 1000000")
    assert reasons["long"] == "its answer may take 1000040 gas, over 1000000"
    assert "this model serves score" in reasons["chat"]


async def test_a_request_waits_for_its_confirmations(place: Place) -> None:
    asker, provider = await place.newcomer(), await place.newcomer()
    request, _ = await ask(OracleHub(asker), await to(provider), ai(1))
    async with engine() as toy:
        answering = Answering(OracleHub(provider), toy, SERVICE, confirmations=3)
        assert await run_once(answering) == {}
        await place.mine(2)
        assert await run_once(answering) == {}
        await place.mine(1)
        assert list(await run_once(answering)) == [request]


async def test_it_goes_on_until_it_is_stopped(place: Place) -> None:
    asker, provider = await place.newcomer(), await place.newcomer()
    hub = OracleHub(asker)
    async with engine() as toy:
        answering = Answering(OracleHub(provider), toy, SERVICE, confirmations=0, poll_s=0.01)
        first, _ = await ask(hub, await to(provider), ai(1))
        async with aclosing(answering.run()) as outcomes:
            assert (await anext(outcomes)).request == first
            second, _ = await ask(hub, await to(provider), ai(1))
            assert (await anext(outcomes)).request == second


def test_a_parameter_cannot_bring_another() -> None:
    filled = encode_parameters({"a": "{b}", "b": "x"})
    assert fill_template("{a} {b} {C} {}", filled) == "{b} x {C} {}"
    with pytest.raises(BadInput, match="come to more than"):
        fill_template("{a}" * 20, encode_parameters({"a": "x" * 10_000}))
    with pytest.raises(BadInput, match="at most 16384 bytes"):
        encode_parameters({"a": "x" * 16384})
