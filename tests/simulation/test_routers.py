"""Gossip routers alone: what arrives, who is in the way, and how it is split."""

from pathlib import Path

import pytest

from p2p_modelex.errors import BadInput, SimulationError
from p2p_modelex.simulation.opening import open_run
from p2p_modelex.simulation.repeat.recorder import Recorder
from p2p_modelex.simulation.repeat.replay import replay
from p2p_modelex.simulation.results.files import write_result
from p2p_modelex.simulation.results.report import Origin
from p2p_modelex.simulation.routers.run import RouterRun
from p2p_modelex.simulation.routers.world import peer_of
from p2p_modelex.simulation.run import Result, Simulation
from p2p_modelex.simulation.scenario.plugins import PluginFile
from p2p_modelex.simulation.scenario.reading import parse_scenario
from p2p_modelex.simulation.scenario.recipe import Recipe
from tests.simulation.worlds import MESH, build

ROUTERS = """
name = "routers"
duration = "40 s"
settle = "8 s"

[messages]
every = "500 ms"
starts = "12 s"

[[population]]
name = "honest"
role = "router"
count = 20
join_over = "3 s"
neighbours = 4
dials = ["honest"]
"""

SYBILS = """
[[population]]
name = "sybils"
role = "router"
behaviour = "drop"
count = 40
join_over = "3 s"
neighbours = 20
dials = ["honest"]
"""

BEFORE = "gossip.scores=false", "gossip.d_score=0", "gossip.gossips_to_pruned=false"
"""The meshes of py-libp2p as it comes."""
STRICT = (
    "gossip.shuns_pruned=true",
    "gossip.score.behaviour_penalty_weight=-10.0",
    "gossip.score.behaviour_penalty_threshold=1.0",
)
"""Penalties of the specification that nodes do without."""

TARGET = """
[[population]]
name = "target"
role = "router"
count = 1
join_over = "0 s"
neighbours = 4
dials = ["honest"]
"""


def run(text: str, *settings: str) -> Result:
    with open_run(build(text, *settings)) as opened:
        assert isinstance(opened, RouterRun)
        return opened.finish()


def test_a_scenario_opens_the_run_that_it_is() -> None:
    assert isinstance(open_run(build(MESH)), Simulation)


def test_everything_arrives_where_nobody_is_in_the_way() -> None:
    found = run(ROUTERS).measures
    assert found["messages"] > 10
    assert found["gossip_deliveries"] == found["messages"] * 19
    assert found["delivered_share"] == found["mesh_honest_share"] == 1.0
    assert found["eclipsed_share"] == 0.0


def test_one_seed_has_one_course() -> None:
    digests = [run(ROUTERS + SYBILS, f"seed={seed}").digest for seed in (1, 1, 2)]
    assert digests[0] == digests[1] != digests[2]


def test_a_trace_is_replayed() -> None:
    recorder = Recorder()
    with open_run(build(ROUTERS)) as opened:
        recorder.attach(opened)
        opened.finish()
        trace = recorder.conclude(opened, "code")
    assert replay(trace, "code").differs is None
    assert "router 1" in "".join(event.text for event in trace.events)


def test_results_are_written(tmp_path: Path) -> None:
    with open_run(build(ROUTERS)) as opened:
        result = opened.sum_up()
        assert not result.is_whole
    origin = Origin(Recipe(ROUTERS, "routers"), "modelex simulate routers", "")
    assert {path.name for path in write_result(result, tmp_path, origin)} >= {"summary.json"}


def test_sybils_fill_the_meshes_and_what_is_said_comes_late() -> None:
    calm, attacked = run(ROUTERS, *BEFORE).measures, run(ROUTERS + SYBILS, *BEFORE).measures
    assert attacked["mesh_honest_share"] < 0.3
    assert attacked["gossip_delay_ms_p90"] > 2 * calm["gossip_delay_ms_p90"]


def test_scores_bring_honest_neighbours_back_into_the_mesh() -> None:
    without, scored = run(ROUTERS + SYBILS, *BEFORE), run(ROUTERS + SYBILS)
    assert scored.measures["mesh_honest_share"] > 2 * without.measures["mesh_honest_share"]
    assert scored.measures["gossip_delay_ms_p50"] < without.measures["gossip_delay_ms_p50"]


def test_who_is_honest_until_it_turns_does_no_harm_until_then() -> None:
    late = run(ROUTERS + SYBILS, "population.1.behaviour=mute", 'population.1.turns="39 s"')
    soon = run(ROUTERS + SYBILS, "population.1.behaviour=mute", 'population.1.turns="12 s"')
    assert late.measures["gossip_delay_ms_p99"] < soon.measures["gossip_delay_ms_p99"]


def test_who_pushes_into_a_mesh_loses_its_score_and_who_waits_does_not() -> None:
    bad = {}
    for kind in ("drop", "push"):
        scenario = build(ROUTERS + SYBILS, f"population.1.behaviour={kind}", *STRICT)
        with open_run(scenario) as opened:
            assert isinstance(opened, RouterRun)
            opened.advance(30_000_000)
            router = opened.routers.nodes[0].router
            bad[kind] = sum(router.scores.get(peer) < 0 for peer in router.neighbours)
    assert bad["drop"] == 0
    assert bad["push"] > 20


def test_ihave_spam_is_asked_for_within_limits_and_with_penalties_no_more() -> None:
    spam = "population.0.count=10", "population.1.behaviour=ihave", "population.1.count=2"
    shipped = run(ROUTERS + SYBILS, *spam).measures
    scored = run(ROUTERS + SYBILS, *spam, *STRICT).measures
    connected = 2 * 10
    assert shipped["gossip_asked"] > 40 * connected * 64
    assert shipped["gossip_asked"] < 41 * connected * 640
    assert scored["gossip_asked"] < shipped["gossip_asked"] / 2


def test_a_censor_keeps_back_its_victims_messages_alone() -> None:
    censors = SYBILS.replace('"drop"', '"censor"\nvictims = "target"').replace(
        'dials = ["honest"]', 'dials = ["honest", "target"]'
    )
    found = run(
        ROUTERS.replace("500 ms", "100 ms") + TARGET + censors, "gossip.flood_publish=false"
    ).measures
    assert found["told_delay_ms_p90"] > 2 * found["gossip_delay_ms_p90"]
    assert found["victims_heard_share"] == 1.0


@pytest.mark.parametrize(("addresses", "connected"), [(0, 40), (1, 32)])
def test_one_address_has_no_more_connections_than_a_node_takes(
    addresses: int, connected: int
) -> None:
    text = ROUTERS.replace("count = 20", "count = 1").replace("neighbours = 4", "neighbours = 0")
    found = run(
        text + SYBILS.replace("neighbours = 20", f"neighbours = 1\naddresses = {addresses}")
    )
    assert found.measures["connections_per_node"] == connected


def test_a_node_carries_its_shards_alone() -> None:
    whole = run(ROUTERS).measures
    split = run(ROUTERS, "shards.count=4", "population.0.neighbours=2").measures
    twice = run(ROUTERS, "shards.count=4", "shards.each=2", "population.0.neighbours=2").measures
    assert (split["routers"], twice["routers"], twice["nodes"]) == (20, 40, 20)
    assert split["delivered_share"] == 1.0
    assert split["gossip_deliveries"] < whole["gossip_deliveries"] / 2


def test_more_than_a_node_takes_of_all_together_is_lost() -> None:
    busy = 'messages.every="5 ms"', 'messages.lasts="8 s"', "population.0.count=8"
    one = run(ROUTERS, *busy, "population.0.neighbours=2").measures
    split = run(ROUTERS, *busy, "population.0.neighbours=1", "shards.count=4").measures
    assert one["delivered_share"] < 0.8
    assert split["delivered_share"] == 1.0


CHURN = 'session = "8 s"\ndowntime = "2 s"\n'


@pytest.mark.parametrize("shards", ["", "[shards]\ncount = 3\neach = 2\n"])
def test_who_stays_hears_all_though_others_come_and_go(shards: str) -> None:
    with open_run(build(ROUTERS + CHURN + shards, "duration=80 s", "settle=12 s")) as opened:
        assert isinstance(opened, RouterRun)
        routers = opened.routers
        opened.advance(40_000_000)
        assert any(node.is_away for node in routers.nodes)
        result = opened.finish()
    assert all(node.is_up for node in routers.nodes)  # nobody is away when it settles
    lives = {id(node.place): node.up_from for node in routers.nodes}
    assert sum(begun > 10_000_000 for begun in lives.values()) > 15
    assert len({(id(node.place), node.up_from) for node in routers.nodes}) == len(lives)
    for node in routers.nodes:
        for peer in node.connected:
            other = routers.find(peer)
            assert peer_of(node) in other.connected
            assert (peer in node.dialled) != (peer_of(node) in other.dialled)
        assert set(node.router.neighbours) == set(node.connected)
        pool = routers.joined[node.population, node.shard]
        assert pool[node.slot] is node
    inbound = sum(node.inbound for node in routers.nodes)
    assert inbound == sum(routers._from.values()) == sum(len(x.dialled) for x in routers.nodes)
    assert result.measures["delivered_share"] == 1.0
    assert result.measures["gossip_deliveries"] > 0


def test_who_leaves_at_once_is_not_counted_on() -> None:
    stays = run(ROUTERS, "duration=60 s").measures
    leaves = run(ROUTERS + CHURN, "duration=60 s", "population.0.session=100 ms").measures
    assert leaves["gossip_deliveries"] < stays["gossip_deliveries"] / 2
    assert stays["delivered_share"] == 1.0


def test_a_loss_delays_what_routers_say() -> None:
    clear, lossy = (run(ROUTERS, f"links.loss={loss}").measures for loss in (0.0, 0.2))
    assert lossy["gossip_delay_ms_max"] > 1.2 * clear["gossip_delay_ms_max"]
    assert lossy["delivered_share"] == 1.0


PLUGIN = """
import msgspec
from p2p_modelex.simulation.plugin import checker, gossiper, measure

@gossiper("hoarder")
def hoard(router, peer, rpc, now):
    return msgspec.structs.replace(rpc, messages=()) if rpc.messages else rpc

@measure("crowd")
def count(run):
    return len(run.routers.nodes)

@checker("patience")
def check(run):
    return "enough" if run.kernel.now > 35_000_000 else None
"""


def test_a_plugin_gossips_measures_and_checks() -> None:
    hoarders = SYBILS.replace('"drop"', '"hoarder"')
    settings = "duration=34 s", "population.0.count=10"
    plugins = (PluginFile("mine.py", PLUGIN),)
    recipe = Recipe(ROUTERS + hoarders, "s", settings, plugins=plugins)
    with open_run(recipe.build()) as opened:
        found = opened.finish().measures
    assert found["crowd"] == 50
    assert found["delivered_share"] < 1.0
    with open_run(recipe.change("population.1.turns=34 s").build()) as opened:
        assert opened.finish().measures["delivered_share"] == 1.0
    with (
        open_run(recipe.change("duration=40 s").build()) as opened,
        pytest.raises(SimulationError, match=r"at 36.0+ s: patience \(plug-in mine.py, .*: enough"),
    ):
        opened.finish()


def test_what_breaks_in_a_plugin_of_routers_says_where() -> None:
    text = "from p2p_modelex.simulation.plugin import gossiper\n"
    text += '@gossiper("odd")\ndef act(router, peer, rpc, now):\n    return 3\n'
    plugins = (PluginFile("odd.py", text),)
    text = ROUTERS + SYBILS.replace('"drop"', '"odd"')
    recipe = Recipe(text, "s", plugins=plugins)
    with (
        open_run(recipe.build()) as opened,
        pytest.raises(SimulationError, match=r"odd.py, line 2, act broke: .*no Rpc and not None"),
    ):
        opened.finish()
    with pytest.raises(BadInput, match="no behaviour 'odd'"):
        Recipe(MESH, "s", ("population.1.behaviour=odd",), plugins=plugins).build()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ROUTERS.replace('role = "router"', 'role = "provider"'), "beside nodes with a core"),
        (MESH + '[messages]\nevery = "1 s"\n', "are for routers"),
        (MESH + "[shards]\ncount = 2\n", "are for routers"),
        (
            ROUTERS[: ROUTERS.index("[messages]")] + ROUTERS[ROUTERS.index("[[") :],
            "nothing is said",
        ),
        (ROUTERS.replace("500 ms", "0 ms"), "messages without a pause"),
        (ROUTERS + "[chain]\n", "routers alone have no chain"),
        (ROUTERS + "[shards]\ncount = 2\neach = 3\n", "in more shards than there are"),
        (ROUTERS + 'behaviour = "mute"\n', "no router is honest"),
        (ROUTERS + "hidden = 0.5\n", "routers alone do not hide"),
        (ROUTERS + 'behaviour = "silent"\n', "no behaviour 'silent'"),
        (ROUTERS.replace('["honest"]', '["honst"]'), "no population 'honst'"),
        (ROUTERS + 'victims = "nobody"\n', "no population 'nobody'"),
        (ROUTERS + '[gossip.score]\ntime_in_mesh_quantum = "0 s"\n', "P1 counts no time"),
    ],
)
def test_what_routers_alone_cannot_be_is_refused(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        parse_scenario(text)
