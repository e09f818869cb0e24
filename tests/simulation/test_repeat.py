"""A seed and a scenario repeat a run exactly, whatever the process."""

import os
import subprocess
import sys
from typing import get_args

import msgspec
import pytest

from p2p_modelex.core import effects as fx
from p2p_modelex.simulation.run import Simulation
from p2p_modelex.simulation.scenario.reading import list_scenarios
from tests.simulation.digests import digest_all
from tests.simulation.worlds import MARKET, MESH, build, play


def digests_of(seed: int, hash_seed: str) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation.digests", str(seed)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        check=True,
    )
    return msgspec.json.decode(done.stdout, type=dict[str, str])


@pytest.mark.slow
def test_one_seed_has_one_digest_whatever_the_order_of_hashes() -> None:
    first, second, other = digests_of(7, "0"), digests_of(7, "12345"), digest_all(8)
    assert len(first) > len(list_scenarios())
    assert first == second
    assert not {*first.values()} & {*other.values()}


def test_every_effect_of_a_core_is_carried_out() -> None:
    with Simulation(build(MESH)) as run:
        life = run.world.birth(run.world.machines[0])
        assert {*life._carry, fx.Persist} == set(get_args(fx.Effect))


def test_another_seed_has_another_digest() -> None:
    assert play(MESH, "seed=1").digest != play(MESH, "seed=2").digest


def test_sharing_what_was_decoded_changes_nothing() -> None:
    assert play(MARKET, "codec=bytes").digest == play(MARKET, "codec=objects").digest


@pytest.mark.slow
def test_real_signatures_take_the_same_course_as_stubs() -> None:
    real, stub = (play(MARKET, f"crypto={crypto}").measures for crypto in ("real", "stub"))
    assert real["finished"] == stub["finished"] > 0
    # Keys differ, and with them what is drawn by them: not the events, but what comes of them.
    assert real["completion_tokens"] == stub["completion_tokens"]
