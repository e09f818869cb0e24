"""What adversaries do, and what is left of the honest: ratings, floods of peers, hidden peers."""

import pytest

from p2p_modelex.core.routing.rating_book import RATING_MAX
from p2p_modelex.errors import BadInput
from p2p_modelex.ids import public_key_of
from p2p_modelex.simulation.actors.behaviours.mesh import SYBILS
from p2p_modelex.simulation.nodes.machine import Machine
from p2p_modelex.simulation.run import Simulation
from tests.simulation.worlds import MARKET, MESH, build

S = 1_000_000
RATED = "registers = true\n" + MARKET.replace(
    'role = "requester"', 'role = "requester"\nrates = "honestly"'
)
LATE = """
[[population]]
name = "late"
role = "requester"
count = 1
starts = "150 s"
join_over = "0 s"
believes = ["buyers"]
"""
COLLUDERS = """
[[population]]
name = "colluders"
role = "requester"
count = 2
behaviour = "colluder"
join_over = "0 s"
rates = "colluding"
"""


def get_rating(run: Simulation, rated: Machine, by: str) -> int | None:
    assert run.chain is not None
    raters = [one for one in run.world.machines if one.population.name == by]
    return run.chain.ledger.registry.get_rating(
        public_key_of(rated.peer),
        rated.account_signer.address,
        [one.account_signer.address for one in raters],
    )


def sellers_of(run: Simulation) -> list[Machine]:
    return [one for one in run.world.machines if one.population.engine is not None]


@pytest.mark.slow
def test_buyers_rate_what_they_got_and_colluders_their_side() -> None:
    with Simulation(build(RATED + LATE + COLLUDERS, "duration=300 s")) as run:
        run.advance(200 * S)
        rated = [one for one in sellers_of(run) if get_rating(run, one, "buyers") is not None]
        assert rated
        for one in rated:
            assert get_rating(run, one, "buyers") == RATING_MAX
            assert get_rating(run, one, "colluders") == 0
        late = next(one for one in run.world.machines if one.population.name == "late")
        assert late.life is not None
        book = late.life.core._buying._choosing.router._ratings
        assert [book.get(one.peer) for one in rated] == [RATING_MAX] * len(rated)


@pytest.mark.slow
def test_who_sells_whitespace_is_paid_and_rated_by_who_reads_it() -> None:
    """No core can tell, and every receipt is right."""
    with Simulation(build(RATED, "duration=300 s", "population.1.behaviour=garbage")) as run:
        run.advance(200 * S)
        assert run.customers.finished == run.customers.asked > 0
        assert run.customers.sensible == 0
        ratings = {get_rating(run, one, "buyers") for one in sellers_of(run)}
    assert ratings <= {0, None}
    assert 0 in ratings


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (RATED.replace("registers = true\n", ""), "ratings are of registered nodes"),
        (RATED + LATE.replace('"buyers"', '"byers"'), "no population 'byers'"),
        (RATED.replace("count = 2", "count = 257") + LATE, "257 accounts"),
    ],
)
def test_ratings_that_make_no_sense_are_refused(text: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        build(text)


def test_a_full_directory_keeps_the_honest() -> None:
    """ADV-14: a flood of invented peers is dropped for whoever brought it."""
    flood = '[[population]]\nname = "inventor"\nbehaviour = "sybil"\ncount = 1\njoin_over = "0 s"\n'
    with Simulation(build(MESH + flood, "entries_max=20")) as run:
        measures = run.finish().measures
        sizes = [len(one.life.core.directory) for one in run.world.machines if one.life]
    assert measures["honest_known_min"] == 1.0
    assert max(sizes) == 20 < SYBILS


@pytest.mark.parametrize(("honest", "known"), [(1, 1.0), (0, 1 / 8)])
def test_one_honest_bootstrap_peer_is_enough(honest: int, known: float) -> None:
    behaviour = "honest" if honest else "eclipser"
    hiders = (
        '[[population]]\nname = "hiders"\nrole = "bootstrap"\nbehaviour = "eclipser"\ncount = 3\n'
    )
    settings = ["settle=0 s", f"population.0.behaviour={behaviour}"]
    with Simulation(build(MESH + hiders, *settings)) as run:
        measures = run.finish().measures
    assert measures["honest_known_min"] == pytest.approx(known, abs=0.2)
