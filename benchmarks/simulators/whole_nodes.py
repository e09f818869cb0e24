"""The same number of messages through whole simulated nodes, each with its core.

A message is then an announcement: a node advertises anew, and whoever hears of it fetches the
advertisement and judges it, which the other sides do not have.
"""

from benchmarks.calibration.work import Plan
from benchmarks.measuring import Stopwatch
from benchmarks.simulators.outcome import Outcome
from p2p_modelex.simulation.nodes.machine import Machine
from p2p_modelex.simulation.results.spread import Spread
from p2p_modelex.simulation.run import Simulation
from p2p_modelex.simulation.scenario.quantities import Duration
from p2p_modelex.simulation.scenario.tables import Population, Scenario


def spread_by_whole_nodes(plan: Plan, seed: int) -> Outcome:
    """Let nodes join and find each other at random, then advertise anew one by one."""
    with Simulation(_describe(plan, seed)) as run:
        run.advance(int(plan.settle_s * 1e6))
        delays, hops = Spread(), Spread()
        run.measures.gossip_delay, run.measures.gossip_hops = delays, hops
        events, stopwatch = run.kernel.events, Stopwatch()
        for number in range(plan.messages):
            _advertise(run.world.machines[number % plan.nodes], 4002 + number // plan.nodes)
            run.advance(int((plan.settle_s + (number + 1) * plan.period_s) * 1e6))
        run.advance(int(plan.ends_s * 1e6))
        return Outcome(
            delivered=delays.count / (plan.messages * (plan.nodes - 1)),
            deliveries=delays.count,
            delay_p50_ms=delays.get_percentile(0.5) / 1000,
            hops=hops.mean,
            cpu_s=stopwatch.read().cpu_s,
            events=run.kernel.events - events,
        )


def _advertise(machine: Machine, port: int) -> None:
    """Advertise at another port: nobody is told what has not changed."""
    life = machine.life
    assert life is not None
    moved = f"{machine.address.rpartition('/')[0]}/{port}"
    proof = machine.build_ownership()
    life.perform(lambda now: life.core.advertise((moved,), (proof,), now))


def _describe(plan: Plan, seed: int) -> Scenario:
    return Scenario(
        name="whole nodes",
        duration=Duration(int(plan.ends_s * 1e6)),
        seed=seed,
        population=(
            Population(
                name="nodes",
                count=plan.nodes,
                join_over=Duration(int(plan.join_s * 1e6)),
                finds="random",
                # Who is dialled has one more: as many connections in all as the others have.
                neighbours=plan.degree * 2 // 3,
            ),
        ),
    )
