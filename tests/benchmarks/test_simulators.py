"""The sides of the comparison do the same work."""

import pytest

from benchmarks.calibration.in_memory import spread_in_memory
from benchmarks.calibration.modelled import spread_simulated
from benchmarks.calibration.work import Plan, Work, tally
from benchmarks.simulators.by_simpy import SimpyMesh
from benchmarks.simulators.whole_nodes import spread_by_whole_nodes
from p2p_modelex.simulation.scenario.settings import Gossip

PLAN = Plan(12, 6, 6, 1.0, settle_s=5.0, period_s=0.5, drain_s=4.0)


def test_simpy_spreads_the_very_same_messages_in_the_very_same_way() -> None:
    ours, theirs = spread_simulated(Work(PLAN, 1), Gossip()), SimpyMesh(Work(PLAN, 1)).run()
    assert sorted(ours.arrivals) == sorted(theirs.arrivals)
    assert ours.published == theirs.published


@pytest.mark.slow
def test_the_real_code_in_memory_is_near_the_model() -> None:
    real = tally([spread_in_memory(Work(PLAN, seed)) for seed in (1, 2, 3)], PLAN.nodes)
    told = tally([spread_simulated(Work(PLAN, seed), Gossip()) for seed in (1, 2, 3)], PLAN.nodes)
    assert real["delivered, share"] == told["delivered, share"] == 1
    for name in ("hops, mean", "delay p50, ms"):
        assert told[name] == pytest.approx(real[name], rel=0.25)


def test_whole_nodes_deliver_as_many() -> None:
    outcome = spread_by_whole_nodes(PLAN, 1)
    assert outcome.deliveries == PLAN.messages * (PLAN.nodes - 1)
