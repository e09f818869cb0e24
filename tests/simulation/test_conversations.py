"""Conversations, and the policies by which their requests find who has read them."""

import pytest

from p2p_modelex.simulation.run import Simulation
from tests.simulation.worlds import MARKET, build, play

TALK = """turns = 4.0
think = "1 s"
context = 2000
system_tokens = 100
completion_tokens = 20
"""
POLICY = """
[[policy]]
name = "blind"
picker = "random"
weights = { load = 1 }
late_binding = false
"""


def test_turns_repeat_what_was_said_and_engines_have_read_it() -> None:
    with Simulation(build(MARKET + TALK)) as run:
        result = run.finish()
        kept = run.customers._conversations._chats
    alone = play(MARKET)
    assert result.measures["requests"] > 2 * alone.measures["requests"]
    assert result.measures["finished_share"] == 1.0
    assert result.measures["cached_share"] > 0.4 > alone.measures["cached_share"]
    # All that is left is what nobody went on with before the end.
    assert len(kept) < result.measures["requests"] / 4


def test_a_conversation_ends_where_it_would_be_too_long() -> None:
    longest = TALK.replace("4.0", "1000.0").replace("context = 2000", "context = 900")
    result = play(MARKET + longest)
    assert "failed_no_provider" not in result.measures
    assert result.measures["requests"] < 4 * play(MARKET).measures["requests"]


def test_a_policy_of_the_scenarios_own_routes() -> None:
    world = MARKET.replace('role = "requester"', 'role = "requester"\nrouting = "blind"')
    with Simulation(build(world + POLICY)) as run:
        run.advance(20_000_000)
        buyer = run.world.machines[-1].life
        assert buyer is not None
        assert buyer.core.choosing.router.profile.picker.name == "random"
        assert not buyer.core.choosing.router.profile.binds_late


@pytest.mark.slow
def test_who_routes_by_what_was_read_finds_more_of_it() -> None:
    buyers = 'role = "requester"\nrouting = "{}"'
    shares = {
        name: play(
            (MARKET + TALK + POLICY).replace('role = "requester"', buyers.format(name))
        ).measures["cached_share"]
        for name in ("default", "sticky", "blind")
    }
    assert min(shares["default"], shares["sticky"]) > 1.2 * shares["blind"]
