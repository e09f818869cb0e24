"""Farms in a world: their owners' certificates, whom requesters find, what holds the money."""

from functools import lru_cache

import pytest

from p2p_modelex.core.farm.book import FarmBook
from p2p_modelex.core.ledger.lines import Lines
from p2p_modelex.core.verdict import ACCEPTED
from p2p_modelex.errors import SimulationError
from p2p_modelex.records import farm
from p2p_modelex.simulation.models.splits import level
from p2p_modelex.simulation.run import Simulation
from tests.simulation.worlds import FARM, build, play

OUTSIDER = """
[[population]]
name = "outsiders"
count = 2
engine = { prompt_price = "0 AI", completion_price = "0 AI" }
"""
OUTCASTS = """
[[population]]
name = "outcasts"
behaviour = "outcast"
count = 2
join_over = "2 s"
farm = "harvest"
engine = { prompt_price = "0 AI", completion_price = "0.001 AI" }
"""
OVERSPENDER = """
[[population]]
name = "overspenders"
role = "requester"
behaviour = "overspender"
count = 1
join_over = "0 s"
purse = "0.1 AI"
deposit = "0.1 AI"

[[workload]]
population = "overspenders"
every = "1 s"
starts = "10 s"
farm = "harvest"
"""


def test_who_asks_a_farm_is_served_by_members_and_pays_one_account() -> None:
    with Simulation(build(FARM + OUTSIDER)) as run:
        result = run.finish()
        assert run.chain is not None
        ledger = run.chain.ledger
        payees = {channel.payee for channel in ledger._channels.values()}
        served = {machine.population.name for machine in run.world.machines if machine.tally.tokens}
    assert result.measures["finished_share"] == 1.0
    assert served == {"sellers"}  # though others ask for nothing
    assert len(payees) == 1


def test_members_tell_each_other_and_lend_what_a_deposit_lacks() -> None:
    measures = play(FARM, "population.2.deposit=0.05 AI").measures
    assert measures["members_told"] > 3 * 2 * 100  # each of three tells two, every two seconds
    assert measures["members_lent"] == measures["members_asked"] > 0


def test_a_member_that_is_killed_is_a_member_again() -> None:
    crash = '[[fault]]\nkind = "crash"\nat = "20 s"\nlasts = "5 s"\nshare = 1.0\n'
    result = play(FARM + crash + 'population = "sellers"\n')
    assert result.measures["finished"] > result.measures["restarted"]
    assert result.measures["finished_share"] > 0.5


def test_one_deposit_is_not_spent_at_all_members_at_once() -> None:
    with Simulation(build(FARM + OVERSPENDER)) as run:
        result = run.finish()
        assert run.chain is not None
        channels = run.chain.ledger.get_channels()
        deposits = [level(channel.deposit, channel.epoch) for channel in channels]
        promised = [sum(lanes.values()) for lanes in run.checkers._promises.values()]
        spent = min(deposits)
    assert max(one for one in promised if one <= spent) > spent / 2  # it was tried
    assert result.measures["finished_share"] == 1.0
    assert result.measures["owed_ai"] == result.measures["lost_ai"] == 0.0


def test_members_that_each_count_on_all_of_a_deposit_are_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So the overspender has teeth, and the checker of deposits eyes."""
    monkeypatch.setattr(Lines, "get_line", lambda _self, state, _seat: state.deposit)
    with pytest.raises(SimulationError, match="over the deposit"):
        play(FARM + OVERSPENDER)


def test_who_was_put_out_of_a_farm_earns_nothing_through_it() -> None:
    """Cheaper than any member, with certificates and records of every wrong kind."""
    with Simulation(build(FARM + OUTCASTS)) as run:
        measures = run.finish().measures
        served = {machine.population.name for machine in run.world.machines if machine.tally.tokens}
    alone = play(FARM).measures
    assert served == {"sellers"}
    assert measures["finished_share"] == alone["finished_share"] == 1.0
    assert measures["earned_ai_sellers"] == measures["paid_ai"]
    assert measures["earned_ai_sellers"] == pytest.approx(alone["earned_ai_sellers"], rel=0.05)
    assert measures["offence_bad_record"] > 0


@pytest.mark.parametrize(
    ("place", "name", "blind", "found"),
    [
        (FarmBook, "holds", lambda *_: True, "which is not of it"),
        (farm, "_is_signed", lru_cache(lambda *_: True), "a certificate that no farm gave"),
        (FarmBook, "_judge_signature", lambda *_: ACCEPTED, "that its farm never signed"),
        (FarmBook, "_judge_news", lambda *_: ACCEPTED, "which is old"),
    ],
)
def test_who_looks_away_where_an_outcast_lies_is_found_out(
    monkeypatch: pytest.MonkeyPatch, place: object, name: str, blind: object, found: str
) -> None:
    """So outcasts have teeth, and the checker of memberships eyes."""
    monkeypatch.setattr(place, name, blind)
    with pytest.raises(SimulationError, match=found):
        play(FARM + OUTCASTS, "population.3.count=6")
