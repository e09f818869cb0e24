"""What a request may ask for beside text: an end to the waiting, and that others go on with it."""

import pytest

from tests.simulation.worlds import MARKET, play

CRASH = """
[[fault]]
kind = "crash"
at = "40 s"
lasts = "20 s"
population = "sellers"
share = 0.4
"""
SLOW = ("population.1.engine.decode=4.0", "population.1.engine.continues=true")


@pytest.mark.slow
def test_who_goes_on_with_an_answer_makes_the_rest_of_it() -> None:
    whole = play(MARKET + CRASH, *SLOW).measures
    continued = play(MARKET + CRASH, *SLOW, "workload.0.continues=true").measures
    assert continued["finished"] > 0
    assert continued["restarted"] < whole["restarted"]


def test_nobody_waits_longer_than_a_deadline() -> None:
    settings = ("population.1.engine.slots=1", "population.1.engine.waiting=16")
    measures = play(MARKET, *settings, *SLOW, "workload.0.deadline=2 s").measures
    assert measures["failed_deadline"] > 0
