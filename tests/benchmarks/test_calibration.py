"""What calibration sets beside real hosts: their run loop, and what their steps cost."""

import random

import pytest

from benchmarks.calibration.modelled import spread_simulated
from benchmarks.calibration.on_sockets import spread_on_sockets
from benchmarks.calibration.run_loop import RunLoop, Step, StepCosts, average
from benchmarks.calibration.work import Plan, Work, tally
from p2p_modelex.simulation.kernel import Kernel
from p2p_modelex.simulation.scenario.settings import Gossip

NEAR = Plan(12, 6, 6, 1.0, settle_s=5.0, period_s=0.5, drain_s=4.0, is_near=True)
CENT, LONG = StepCosts(read=(100.0,)), StepCosts(read=(1000.0,))


class Process:
    """Steps that note when they end. Each takes 100 us."""

    def __init__(self, seed: int) -> None:
        self.kernel = Kernel()
        self.loop = RunLoop(self.kernel, [CENT], random.Random(seed))
        self.loop.begin_message()
        self.ended: list[tuple[str, int]] = []

    def step(self, name: str, then: Step = lambda: None) -> Step:
        def run() -> None:
            self.loop.spend(self.loop.costs.read)
            then()
            self.ended.append((name, self.loop.now))

        return run


@pytest.mark.parametrize("seed", range(8))
def test_what_a_step_wakes_or_sends_waits_for_the_next_pass(seed: int) -> None:
    process = Process(seed)
    loop, step = process.loop, process.step
    loop.on_arrival(step("one", lambda: loop.on_arrival(step("sent"))))
    loop.on_arrival(step("two", lambda: loop.wake(step("woken"))))
    process.kernel.run(1000)
    names = [name for name, _ in process.ended]
    assert sorted(names[:2]) == ["one", "two"]
    assert sorted(names[2:]) == ["sent", "woken"]
    assert [at for _, at in process.ended] == [100, 200, 300, 400]


def test_half_of_the_passes_go_backwards() -> None:
    orders = set()
    for seed in range(8):
        process = Process(seed)
        for name in "abc":
            process.loop.on_arrival(process.step(name))
        process.kernel.run(1000)
        orders.add("".join(name for name, _ in process.ended))
    assert orders == {"abc", "cba"}


def test_what_comes_after_a_rest_is_run_when_it_comes() -> None:
    process = Process(1)
    process.loop.on_arrival(process.step("one"))
    process.kernel.run(5000)
    process.loop.on_arrival(process.step("two"))
    process.kernel.run(9000)
    assert process.ended == [("one", 100), ("two", 5100)]


def test_hosts_in_one_process_wait_for_one_another() -> None:
    free = tally([spread_simulated(Work(NEAR, 1), Gossip())], NEAR.nodes)
    busy = tally([spread_simulated(Work(NEAR, 1), Gossip(), [LONG] * 6)], NEAR.nodes)
    assert free["delay p99, ms"] == 0
    # The last of 11 nodes is read after ten others at least, and after their copies.
    assert busy["delay p50, ms"] >= 5
    assert busy["delay p99, ms"] >= 11


def test_each_message_costs_what_was_measured_of_it() -> None:
    log = spread_simulated(Work(NEAR, 1), Gossip(), [CENT] * 5 + [LONG])
    last = log.published[Work(NEAR, 1).payloads[-1]][0]
    early = max(at for at, *_ in log.arrivals if at < last) - (last - NEAR.period_s)
    late = max(at for at, *_ in log.arrivals) - last
    assert late > 5 * early


@pytest.mark.slow
def test_steps_of_real_hosts_are_told_apart() -> None:
    plan = Plan(4, 3, 3, 0.5, settle_s=4.0, period_s=0.3, drain_s=1.2, is_near=True)
    log, costs = spread_on_sockets(Work(plan, 1))
    assert tally([log], plan.nodes)["delivered, share"] == 1
    assert len(costs) == plan.messages
    assert sum(len(one.first) for one in costs) == plan.messages * (plan.nodes - 1)
    means = average([costs])
    # Where all are in all meshes, none is told of messages that it has not got.
    assert all(cost > 0 for kind, cost in means.items() if kind != "control")
    # The signature of a new message is checked.
    assert min(min(one.known) for one in costs) < min(min(one.first) for one in costs)
