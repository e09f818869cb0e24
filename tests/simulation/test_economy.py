"""Prices, budgets, and when requests come and how long they are."""

import random
from itertools import pairwise
from pathlib import Path
from statistics import mean, pstdev

import pytest

from p2p_modelex.cli import simulate_compare
from p2p_modelex.errors import BadInput
from p2p_modelex.simulation.actors import recorded
from p2p_modelex.simulation.actors.arrivals import Drawn, Recorded
from p2p_modelex.simulation.actors.recorded import read_requests
from p2p_modelex.simulation.models.lengths import PUBLISHED, Lengths, draw_published
from p2p_modelex.simulation.run import Simulation
from p2p_modelex.simulation.scenario.quantities import Duration
from p2p_modelex.simulation.scenario.reading import read_scenario
from p2p_modelex.simulation.scenario.recipe import read_recipe
from p2p_modelex.simulation.scenario.tables import Workload
from tests.simulation.worlds import MARKET, build, play

S = 1_000_000
PRICES = (
    MARKET.replace('"260 s"', '"320 s"')
    + """
[[population]]
name = "rivals"
count = 2
join_over = "2 s"
engine = {}
"""
)


def workload(**settings: object) -> Workload:
    return Workload(population="buyers", every=Duration(10 * S), **settings)  # type: ignore[arg-type]


def draw_times(until_s: int, **settings: object) -> list[int]:
    drawn, times, at = Drawn(workload(**settings), random.Random(1)), [0], 0
    while (found := drawn.find_next(at, until_s * S)) is not None:
        at = found
        times.append(at)
    return times


@pytest.mark.parametrize(
    ("settings", "cv"),
    [({}, 1.0), ({"arrivals": "bursty"}, 1.4), ({"arrivals": "bursty", "cv": 0.5}, 0.5)],
)
def test_pauses_vary_as_the_shape_says(settings: dict[str, object], cv: float) -> None:
    times = draw_times(200_000, **settings)
    pauses = [later - before for before, later in pairwise(times)]
    assert mean(pauses) == pytest.approx(10 * S, rel=0.05)
    assert pstdev(pauses) / mean(pauses) == pytest.approx(cv, rel=0.05)


def test_a_day_has_its_rate_in_its_first_half() -> None:
    times = draw_times(200_000, arrivals="diurnal", day=Duration(1000 * S), swing=0.8)
    assert len(times) == pytest.approx(20_000, rel=0.05)
    first = sum(at % (1000 * S) < 500 * S for at in times) / len(times)
    # Of 1 + s sin x, over half of its period: 1/2 + s / pi.
    assert first == pytest.approx(0.5 + 0.8 / 3.1416, abs=0.02)


@pytest.mark.parametrize(
    ("name", "prompt", "completion"), [("azure-conversation", 1020, 129), ("azure-code", 1500, 13)]
)
def test_published_lengths_have_their_papers_medians(
    name: str, prompt: int, completion: int
) -> None:
    rng = random.Random(1)
    drawn = sorted(draw_published(name, rng) for _ in range(9999))
    assert drawn[5000].prompt == pytest.approx(prompt, rel=0.05)
    assert sorted(one.completion for one in drawn)[5000] == pytest.approx(completion, rel=0.05)
    prompts, _ = PUBLISHED[name]
    assert prompts.get(1.0) == drawn[-1].prompt or prompts.get(1.0) > drawn[-1].prompt


def test_a_record_is_shared_out_and_comes_when_it_came(tmp_path: Path) -> None:
    csv = tmp_path / "trace.csv"
    rows = "".join(f"{number}.5,{10 + number},{20 + number}\n" for number in range(5))
    csv.write_text("time_s,prompt_tokens,completion_tokens\n" + rows, encoding="utf-8")
    told = workload(trace=str(csv), starts=Duration(100 * S))
    first, second = (Recorded(told, place, 2) for place in (0, 1))
    times = []
    while (at := first.find_next(0, 104 * S)) is not None:
        times.append((at, first.draw()))
    assert times == [(100_500_000, Lengths(10, 20)), (102_500_000, Lengths(12, 22))]
    assert second.find_next(0, 200 * S) == 101_500_000
    lines = tmp_path / "trace.jsonl"
    text = '{"time_s": 0.5, "prompt_tokens": 10, "completion_tokens": 20}\n'
    lines.write_text(text, encoding="utf-8")
    assert read_requests(str(lines)) == read_requests(str(csv))[:1]


def test_a_record_lies_beside_its_scenario_and_tells_runs_apart(tmp_path: Path) -> None:
    record = tmp_path / "trace.csv"
    record.write_text("time_s,prompt_tokens,completion_tokens\n1,2,3\n", encoding="utf-8")
    file = tmp_path / "market.toml"
    file.write_text(MARKET + 'trace = "trace.csv"\n', encoding="utf-8")
    assert read_scenario(file).workload[0].trace == str(record)
    recipe = read_recipe(file)
    assert recipe.build().workload[0].trace == str(record)
    assert f"workload.0.trace={record}" in simulate_compare._write_recipe(recipe, tmp_path)
    before = recipe.compute_key()
    record.write_text("time_s,prompt_tokens,completion_tokens\n1,2,4\n", encoding="utf-8")
    for cached in (recorded.read_requests, recorded.digest_record):
        cached.cache_clear()  # as in another process
    assert recipe.compute_key() != before
    record.unlink()
    recorded.read_requests.cache_clear()
    recorded.digest_record.cache_clear()
    with pytest.raises(BadInput, match=f"cannot read {record}"):
        recipe.compute_key()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "time,prompt\n", "a.csv, line 1: its header is 'time,prompt'"),
        ("b.csv", "1,2,3\n1,2\n", "b.csv, line 3: not three numbers"),
        ("c.csv", "1,2,x\n", "c.csv, line 2: not three numbers"),
        ("d.csv", "2,2,3\n1,2,3\n", "d.csv, line 3: it is before the line above"),
        ("e.csv", "1,0,3\n", "e.csv, line 2: prompt_tokens is 0"),
        ("f.csv", "1,2,3.5\n", "f.csv, line 2: completion_tokens is 3.5"),
        ("g.csv", "nan,2,3\n", "g.csv, line 2: time_s is nan"),
        ("h.csv", "", "h.csv has no requests"),
        ("i.jsonl", "[]\n", "i.jsonl, line 1: not an object of numbers"),
        ("j.jsonl", '{"time_s": 1}\n', "j.jsonl, line 1: not three numbers"),
    ],
)
def test_a_bad_record_names_its_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    file = tmp_path / name
    is_whole = name.startswith("a") or name.endswith("jsonl")
    header = "" if is_whole else "time_s,prompt_tokens,completion_tokens\n"
    file.write_text(header + text, encoding="utf-8")
    with pytest.raises(BadInput) as caught:
        read_requests(str(file))
    assert message in str(caught.value)


def test_a_record_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="not UTF-8"):
        read_requests(str(tmp_path / "x.csv"))
    with pytest.raises(BadInput, match="cannot read"):
        read_requests(str(tmp_path / "y.csv"))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ('workload.0.lengths="azure-chat"', "no lengths 'azure-chat'"),
        ('population.0.pricing={policy="surge", cost="1 AI"}', "no engine to price"),
        ('population.1.pricing={policy="surge", cost="1 AI", every="0 s"}', "without a pause"),
        ('workload.0.day="0 s"', "a day without time"),
    ],
)
def test_what_is_wrong_with_an_economy_is_refused(setting: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        build(MARKET, setting)
    with pytest.raises(BadInput, match="a record has no conversations"):
        build(MARKET, "workload.0.trace=x.csv", "workload.0.turns=2.0")


@pytest.mark.slow
def test_undercutters_go_down_to_their_costs_and_no_further() -> None:
    settings = [
        'population.1.pricing={policy="cost-plus", cost="0.03 AI", margin=0.5, every="5 s"}',
        'population.3.pricing={policy="undercut", cost="0.03 AI", step=0.2, every="5 s"}',
    ]
    measures = play(PRICES, *settings).measures
    assert measures["asked_ai_sellers"] == pytest.approx(0.045)
    assert measures["asked_ai_rivals"] == pytest.approx(0.03)
    assert measures["earned_ai"] == measures["redeemed_ai"] > 0


def test_prices_rise_with_the_load_and_nobody_buys_over_its_limit() -> None:
    setting = 'population.1.pricing={policy="surge", cost="0.01 AI", step=1.0, every="1 s"}'
    asked: set[int] = set()
    with Simulation(build(MARKET, setting, "workload.0.every=1 s")) as run:
        for at in range(1, 60):
            run.advance(at * S)
            asked |= {m.asking.completion_price for m in run.world.machines if m.asking}
    assert max(asked) > 6 * 10**16
    assert all(6 * 10**16 <= price <= 12 * 10**16 for price in asked)
    poor = play(MARKET, "workload.0.reserve=0.05 AI").measures
    assert poor["failed_no_provider"] == poor["requests"]


def test_who_has_spent_its_hours_budget_asks_for_nothing_more() -> None:
    measures = play(MARKET, "workload.0.hourly=0.01 AI", "workload.0.every=2 s").measures
    assert measures["declined"] > 0
    # Two buyers, and what was under way at each as its budget ended.
    assert 0.02 <= measures["paid_ai"] < 0.2
