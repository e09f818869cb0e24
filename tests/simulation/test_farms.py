"""Farms in a world: their owners' certificates, whom requesters find, what holds the money."""

from p2p_modelex.simulation.run import Simulation
from tests.simulation.worlds import FARM, build, play

OUTSIDER = """
[[population]]
name = "outsiders"
count = 2
engine = { prompt_price = "0 AI", completion_price = "0 AI" }
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
