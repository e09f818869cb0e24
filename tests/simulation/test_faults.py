"""Whole worlds under faults."""

import json
import os
import random
import statistics
from pathlib import Path

import pytest
from click.testing import CliRunner
from pyarrow import parquet

from p2p_modelex.cli.simulate import simulate
from p2p_modelex.errors import BadInput
from p2p_modelex.limits import GOSSIP_ORIGIN_BURST, GOSSIP_ORIGIN_RATE
from p2p_modelex.simulation.randomness import draw_time
from p2p_modelex.simulation.run import Simulation
from tests.simulation.worlds import MARKET, MESH, build, play

SELLERS = ["overcharge", "no-receipt", "no-chunks", "load-liar", "silent", "corrupt", "slow-loris"]
BUYERS = ["free-rider", "last-voucher", "double-spender", "replayer"]


@pytest.mark.slow
def test_vouchers_and_debts_outlive_crashes_on_both_sides() -> None:
    faults = """
[[fault]]
kind = "crash"
at = "20 s"
lasts = "5 s"
population = "sellers"
share = 1.0

[[fault]]
kind = "crash"
at = "40 s"
lasts = "3 s"
population = "buyers"
share = 1.0
"""
    measures = play(MARKET + faults).measures
    assert measures["interrupted"] >= 0
    assert measures["finished"] > 5


@pytest.mark.slow
def test_an_outage_of_the_chain_stops_deposits_and_nothing_else() -> None:
    faults = '[[fault]]\nkind = "outage"\nat = "30 s"\nlasts = "20 s"\n'
    assert play(MARKET + faults).measures["finished"] > 5


def test_a_clogged_node_catches_up() -> None:
    faults = '[[fault]]\nkind = "clog"\nat = "6 s"\nlasts = "10 s"\nshare = 0.5\n'
    assert play(MESH + faults).measures["known"] == 1.0


def test_a_fault_of_regions_is_of_who_lives_there() -> None:
    fault = '[[fault]]\nkind = "crash"\nat = "6 s"\nlasts = "9 s"\nshare = 1.0\n'
    there = ("tokyo", "sydney")
    settings = ("population.1.count=30", "population.1.join_over=1 s")
    with Simulation(build(MESH + fault + f"regions = {list(there)}\n", *settings)) as run:
        run.advance(10_000_000)
        away = [one.place.region for one in run.world.machines if one.life is None]
        up = [one.place.region for one in run.world.machines if one.life is not None]
    assert set(away) == set(there)
    assert not set(up) & set(there)
    with pytest.raises(BadInput, match="no region 'sidney'"):
        build(MESH + fault + 'regions = ["sidney"]\n')


@pytest.mark.parametrize("shape", [0.38, 1.0, 3.0])
def test_sessions_have_their_mean_whatever_their_shape(shape: float) -> None:
    rng = random.Random(1)
    drawn = [draw_time(rng, 1_000_000, shape) for _ in range(100_000)]
    assert statistics.mean(drawn) == pytest.approx(1_000_000, rel=0.05)
    short = sum(one < 100_000 for one in drawn) / len(drawn)
    assert short == pytest.approx({0.38: 0.51, 1.0: 0.095, 3.0: 0.0007}[shape], abs=0.01)


def test_a_short_partition_breaks_no_connection() -> None:
    faults = '[[fault]]\nkind = "partition"\nat = "10 s"\nlasts = "20 s"\n'
    with Simulation(build(MESH + faults)) as run:
        run.advance(9_000_000)
        before = [len(m.life.wires.connections) for m in run.world.machines if m.life]
        run.advance(30_500_000)
        after = [len(m.life.wires.connections) for m in run.world.machines if m.life]
        run.finish()
    assert sum(after) >= sum(before)


@pytest.mark.slow
@pytest.mark.parametrize("behaviour", SELLERS)
def test_buyers_get_past_a_seller_that_misbehaves(behaviour: str) -> None:
    liar = f"""
[[population]]
name = "liars"
count = 1
behaviour = "{behaviour}"
join_over = "2 s"
engine = {{ completion_price = "0.001 AI" }}
"""
    measures = play(MARKET + liar).measures
    assert measures["finished"] > 5


def test_what_a_spammer_gossips_is_cut_off_by_its_origins_limit() -> None:
    spammed = play(MESH, "population.1.behaviour=spammer").measures
    honest = play(MESH).measures
    nodes, seconds = honest["nodes"], honest["virtual_s"]
    most = (nodes - 1) * (nodes - 1) * (GOSSIP_ORIGIN_BURST + GOSSIP_ORIGIN_RATE * seconds)
    assert honest["gossip_deliveries"] < spammed["gossip_deliveries"] <= most


@pytest.mark.slow
@pytest.mark.parametrize("behaviour", BUYERS)
def test_sellers_get_past_a_buyer_that_does_not_pay(behaviour: str) -> None:
    """What they may lose is checked at every step: exposure, vouchers, money."""
    liar = f"""
[[population]]
name = "liars"
role = "requester"
behaviour = "{behaviour}"
count = 1
join_over = "2 s"

[[workload]]
population = "liars"
every = "5 s"
starts = "10 s"
"""
    measures = play(MARKET + liar).measures
    assert measures["finished_share"] > 0.9


def test_the_command_prints_a_summary_and_writes_files(tmp_path: Path) -> None:
    file = tmp_path / "mesh.toml"
    file.write_text(MESH + '[[hold]]\nmeasure = "known"\nat_least = 1.0\n', encoding="utf-8")
    out = tmp_path / "out"
    done = CliRunner().invoke(
        simulate, [str(file), "--nodes", "6", "--seed", "5", "--out", str(out)]
    )
    assert done.exit_code == 0, done.output
    assert "mesh, seed 5" in done.output
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert summary["digest"] in done.output
    assert summary["measures"]["nodes"] == 6
    samples = (out / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(samples[-1])["is_complete"] is True
    table = parquet.read_table(out / "samples.parquet").to_pylist()
    assert table == [json.loads(line) for line in samples]


def test_results_that_cannot_be_written_are_known_before_the_run(tmp_path: Path) -> None:
    file = tmp_path / "mesh.toml"
    file.write_text(MESH, encoding="utf-8")
    done = CliRunner().invoke(simulate, [str(file), "--out", str(file / "out")])
    assert isinstance(done.exception, BadInput)
    assert "cannot make" in str(done.exception)
    assert done.output == ""


@pytest.mark.parametrize("option", ["--out", "--trace"])
def test_where_nothing_can_be_written_is_known_before_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    file = tmp_path / "mesh.toml"
    file.write_text(MESH, encoding="utf-8")
    place = tmp_path / "there" if option == "--out" else tmp_path / "there" / "trace.jsonl"
    (tmp_path / "there").mkdir()
    refused = os.W_OK | os.X_OK  # root may write everywhere
    monkeypatch.setattr(os, "access", lambda _, mode: mode != refused)
    done = CliRunner().invoke(simulate, [str(file), option, str(place)])
    assert isinstance(done.exception, BadInput)
    assert str(done.exception) == f"cannot write into {tmp_path / 'there'}"
    gone = CliRunner().invoke(simulate, [str(file), "--trace", str(tmp_path / "no" / "t.jsonl")])
    assert f"there is no folder {tmp_path / 'no'}" in str(gone.exception)


def test_a_full_disk_is_no_bug_of_ours(tmp_path: Path) -> None:
    file = tmp_path / "mesh.toml"
    file.write_text(MESH, encoding="utf-8")
    words = [str(file), "--quiet", "--set", "population.1.count=2"]
    full = CliRunner().invoke(simulate, [*words, "--trace", "/dev/full"])
    assert isinstance(full.exception, BadInput)
    assert "cannot write /dev/full: No space left" in str(full.exception)
    out = tmp_path / "out"
    (out / ".summary.json.part").mkdir(parents=True)
    broken = CliRunner().invoke(simulate, [*words, "--out", str(out)])
    assert "cannot write" in str(broken.exception)
    assert "digest" in broken.output  # what was measured is told all the same
    (out / "sweep.jsonl").mkdir()
    swept = CliRunner().invoke(simulate, [*words, "--out", str(out), "--seeds", "2"])
    assert isinstance(swept.exception, BadInput)
    assert "cannot read" in str(swept.exception)


def test_an_expectation_that_does_not_hold_fails_the_command(tmp_path: Path) -> None:
    file = tmp_path / "mesh.toml"
    hold = '[[hold]]\nmeasure = "events"\nat_most = 1.0\n'
    hold += '[[hold]]\nmeasure = "offence_flood"\nat_most = 1.0\n'
    file.write_text(MESH + hold, encoding="utf-8")
    done = CliRunner().invoke(simulate, [str(file), "--quiet"])
    assert done.exit_code == 1
    assert "events is" in str(done.exception)
    assert "offence_flood was not measured" in str(done.exception)


def test_who_says_goodbye_is_not_sold_from_any_more() -> None:
    """What a session's end leaves to the others: broken streams, or a withdrawal."""
    settings = ("population.1.session=20 s", "population.1.downtime=5 s")
    killed = play(MARKET, *settings).measures
    polite = play(MARKET, *settings, "population.1.goodbye=15 s").measures
    assert polite["finished"] > 0
    assert polite["restarted"] < killed["restarted"]


@pytest.mark.slow
def test_who_starts_again_may_sell_otherwise() -> None:
    """In turns with twice the credit, and with the first and other weights."""
    settings = ("population.1.session=10 s", "population.1.downtime=1 s", "population.1.changes=1")
    with Simulation(build(MARKET, *settings)) as run:
        seller, sold = run.world.machines[1], {}
        while seller.edition < 3:
            run.advance(run.kernel.now + 100_000)
            shop = seller.build_shop(seller.build_ownership())
            assert shop is not None
            sold[seller.edition] = shop.advertised[0]
        assert run.finish().measures["finished"] > 0
    assert [sold[at].credit_tokens for at in range(4)] == [64, 128, 64, 128]
    assert sold[0].weights == sold[1].weights != sold[2].weights == sold[3].weights
