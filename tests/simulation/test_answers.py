"""Answers in forms of their own: embeddings, JSON, calls of tools, log probabilities."""

import json
import random

import msgspec
import pytest

from p2p_modelex.errors import BadInput
from p2p_modelex.records.embedding import decode_vector
from p2p_modelex.records.job import Message, Request
from p2p_modelex.records.tools import split_calls
from p2p_modelex.simulation.actors.requests import build_request
from p2p_modelex.simulation.models.answers import (
    build_piece,
    build_vector,
    calls_tool,
    reads_well,
)
from tests.simulation.worlds import MARKET, build, play

FORMS = ["embedding", "schema", "tools", "logprobs"]
ANSWERING = MARKET.replace("engine = {}", f"engine = {{ answers = {FORMS} }}")
MISSHAPER = f"""
[[population]]
name = "liars"
count = 1
behaviour = "misshaper"
join_over = "2 s"
engine = {{ completion_price = "0.001 AI", prompt_price = "0.001 AI", answers = {FORMS} }}
"""
FOUND_OUT = {
    "embedding": "offence_protocol",
    "schema": "offence_bad_receipt",
    "tools": "offence_protocol",
    "logprobs": "offence_protocol",
}


def ask(asks: str, seed: int = 0) -> Request:
    """A request for an answer of three tokens."""
    [workload] = build(ANSWERING, f"workload.0.asks={asks}").workload
    messages = (Message("user", "word"),)
    request = build_request(workload, messages, "word", 3, random.Random(1))
    return msgspec.structs.replace(request, seed=3 + (seed << 16))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("asks", ["chat", "schema", "tools", "logprobs"])
def test_what_reads_like_an_answer(asks: str, seed: int) -> None:
    request = ask(asks, seed)
    text = "".join(build_piece(request, at) for at in (1, 2, 3))
    assert reads_well(request, text)
    assert not reads_well(request, "   ")
    assert not reads_well(request, text + "rubbish ")
    assert calls_tool(request) is (asks == "tools" and seed % 2 == 1)
    _, calls = split_calls(text)
    assert len(calls) == calls_tool(request)
    for said in [call.text for call in calls] or [text] * (asks == "schema"):
        assert json.loads(said)


def test_what_reads_like_a_vector() -> None:
    request = ask("embedding")
    assert reads_well(request, build_vector(request))
    assert not reads_well(request, build_vector(request)[:-4])
    assert len(decode_vector(build_vector(request))) == 16


@pytest.mark.parametrize("asks", FORMS)
def test_answers_of_every_form_are_given_and_paid(asks: str) -> None:
    measures = play(ANSWERING, f"workload.0.asks={asks}").measures
    assert measures["finished_share"] == 1.0
    assert measures["redeemed_ai"] == measures["paid_ai"] > 0
    assert measures["restarted"] == 0


@pytest.mark.parametrize("asks", FORMS)
def test_an_answer_in_no_right_form_is_found_out_and_asked_for_elsewhere(asks: str) -> None:
    measures = play(ANSWERING + MISSHAPER, f"workload.0.asks={asks}").measures
    assert measures["restarted"] > 0
    assert measures[FOUND_OUT[asks]] > 0
    assert measures["finished_share"] == 1.0


def test_a_form_that_nobody_gives_is_refused() -> None:
    with pytest.raises(BadInput, match="nobody answers so by 'tiny'"):
        build(MARKET, "workload.0.asks=tools")
    with pytest.raises(BadInput, match="nobody goes on with a vector"):
        build(ANSWERING, "workload.0.asks=embedding", "workload.0.turns=2.0")
