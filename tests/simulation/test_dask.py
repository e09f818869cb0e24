"""Sweeps over dask: a real scheduler and workers, on this machine's loopback."""

from collections.abc import Iterator

import dask
import pytest
from distributed import LocalCluster

from p2p_modelex.errors import BadInput
from p2p_modelex.simulation.results import on_dask
from p2p_modelex.simulation.results.on_dask import OtherCode, run_on_dask
from p2p_modelex.simulation.results.sweep import Axis, plan_sweep
from p2p_modelex.simulation.scenario.plugins import PluginFile
from p2p_modelex.simulation.scenario.recipe import Recipe
from tests.simulation.test_sweep import DEADLY, plan
from tests.simulation.worlds import MESH, play

pytestmark = pytest.mark.slow

MEASURE = """
from p2p_modelex.simulation.plugin import measure

@measure("twice")
def count(run):
    return 2 * len(run.world.machines)
"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    patient = {
        # A worker that died is soon given up by this kind of cluster, and starts slowly here.
        "distributed.deploy.lost-worker-timeout": "300s",
        "distributed.scheduler.allowed-failures": 1,
    }
    with (
        dask.config.set(patient),
        LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as cluster,
    ):
        yield cluster.scheduler_address


def test_runs_travel_as_text_with_their_plugins(address: str) -> None:
    recipe = Recipe(MESH, plugins=(PluginFile("twice.py", MEASURE),))
    planned = plan_sweep(recipe, [Axis("population.1.count", ("3", "5"))])
    swept = {one.at["population.1.count"]: one for one in run_on_dask(planned, address)}
    assert {many: one.measures["twice"] for many, one in swept.items()} == {"3": 8, "5": 12}
    assert swept["3"].digest == play(MESH, "population.1.count=3").digest


def test_another_version_on_a_worker_is_refused(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_dask, "compute_code", lambda: "other")
    with pytest.raises(OtherCode, match=r"a worker runs code \w+ .* the sweep is of other"):
        list(run_on_dask(plan(1), address))


def test_nobody_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_dask, "CONNECT_S", 1)
    with pytest.raises(BadInput, match="no dask scheduler at"):
        list(run_on_dask(plan(1), "tcp://127.0.0.1:1"))


def test_a_run_whose_worker_dies_does_not_take_the_others_with_it(address: str) -> None:
    plugins = (PluginFile("deadly.py", DEADLY),)
    deadly = Recipe(MESH, settings=("population.1.behaviour=deadly",), plugins=plugins)
    planned = [*plan_sweep(deadly, [Axis("seed", ("1",))]), *plan(2)]
    swept = {one.at["seed"]: one for one in run_on_dask(planned, address)}
    assert swept["1"].broke == "its worker died as often as the cluster allows"
    assert swept["2"].digest == play(MESH, "seed=2").digest
