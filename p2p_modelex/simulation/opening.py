"""Which kind of run a scenario is."""

from p2p_modelex.simulation.routers.run import RouterRun
from p2p_modelex.simulation.run import Simulation
from p2p_modelex.simulation.scenario.tables import Scenario

Run = Simulation | RouterRun


def open_run(scenario: Scenario) -> Run:
    """Return the run of a scenario: of whole nodes, or of gossip routers alone."""
    return Simulation(scenario) if scenario.has_cores else RouterRun(scenario)
