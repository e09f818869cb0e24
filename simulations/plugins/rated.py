"""Routing policies that weigh ratings on chain beside what the default weighs, and who is rated."""

from p2p_modelex.core.routing.profile import build_profile
from p2p_modelex.simulation.plugin import behaviour, measure, profile

WEIGHTS = {"price": 1, "latency": 1, "load": 2, "record": 1, "cache": 1}
"""The default profile's."""


@profile("rated")
def weigh_ratings():
    """As much as all the rest."""
    return build_profile("rated", "power_of_d", {**WEIGHTS, "rating": 6})


@profile("rated-little")
def weigh_ratings_little():
    """As much as the load."""
    return build_profile("rated-little", "power_of_d", {**WEIGHTS, "rating": 2})


@behaviour("veteran")
def act_as_ever(life, effect):
    """Do what the core wants; a scenario's measures are of the honest, and so of others alone."""
    return effect


@measure("ratings")
def count_ratings(run):
    """How many were put on chain."""
    return run.raters.given
