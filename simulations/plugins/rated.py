"""Routing policies that weigh ratings on chain beside what the default weighs, little and much."""

from p2p_modelex.core.routing.profile import build_profile
from p2p_modelex.simulation.plugin import measure, profile

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


@measure("ratings")
def count_ratings(run):
    """How many were put on chain."""
    return run.raters.given
