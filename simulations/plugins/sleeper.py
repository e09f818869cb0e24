"""An adversary: a seller that earns trust and then runs with the money."""

from p2p_modelex.simulation.actors.behaviours import BEHAVIOURS
from p2p_modelex.simulation.plugin import behaviour, checker

RUN_AWAY = BEHAVIOURS["no-chunks"]
TURNS_US = 120_000_000
"""Microseconds from the start of a run to the day it turns."""


@behaviour("sleeper")
def turn(life, effect):
    """Do what the core wants until the day; then keep each first voucher and send nothing."""
    return effect if life.kernel.now < TURNS_US else RUN_AWAY(life, effect)


@checker("buyers are not bled")
def check_buyers(run):
    """A buyer that orders again and again from whoever cheated it would be a bug of the core."""
    if run.customers.restarted > 10 * max(1, run.customers.asked):
        return f"{run.customers.restarted} orders again for {run.customers.asked} requests"
    return None
