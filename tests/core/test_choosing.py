"""Of a large mesh a few are looked at: who, and when more are."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from p2p_modelex.core import choosing
from p2p_modelex.core.directory.index import CapabilityIndex
from p2p_modelex.core.effects import OpenStream
from p2p_modelex.core.inputs import StreamFailed
from p2p_modelex.core.prefixes import compute_turns
from p2p_modelex.core.routing.candidate import Want
from p2p_modelex.core.routing.profile import CHOICES, PROFILES, build_profile
from p2p_modelex.core.routing.router import CUSTOMARY
from p2p_modelex.ids import PeerId, PublicKey, format_peer_id
from p2p_modelex.units import Wei
from tests.core.exchange.pair import CHAT, NOW, OFFER, build_job
from tests.core.farm.farms import FARM, OTHER_FARM, Farm
from tests.core.mesh import PLAIN, STEP, Mesh, Stage, peer
from tests.core.routing.scene import load

MANY = 1000
MEMBER = PublicKey(b"m" * 32)


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    return Mesh(MANY)


def test_a_few_at_random_are_looked_at(mesh: Mesh) -> None:
    stage = Stage(mesh)
    seen: Counter[PeerId] = Counter()
    for _ in range(200):
        look = stage.look()
        assert choosing.ENOUGH <= mesh.looked_at <= choosing.LIMITS[0]
        seen.update(one.peer for one in look.selection.kept)
    assert len(seen) > 0.99 * MANY
    assert max(seen.values()) < 25


def test_a_small_mesh_is_looked_at_whole() -> None:
    stage = Stage(Mesh(choosing.LIMITS[0]))
    assert stage.look().selection.seen == choosing.LIMITS[0]


def test_the_cheapest_are_looked_at_first(mesh: Mesh) -> None:
    look = Stage(mesh, "cheapest").look()
    assert mesh.looked_at == choosing.LIMITS[0]
    assert {one.offer.prompt_price for one in look.draw.asked[:CHOICES]} == {1}
    assert len(look.draw.asked) == 2 * CHOICES


def test_those_that_come_after_the_point_are_looked_at(mesh: Mesh) -> None:
    stage = Stage(mesh, "sticky")
    look = stage.look(prefix=(500 * STEP - 1).to_bytes(8, "big"))
    assert [one.peer for one in look.draw.asked] == [peer(n) for n in (500, 501, 502, 503)]
    assert mesh.looked_at == choosing.LIMITS[0]
    look = stage.look(prefix=(999 * STEP).to_bytes(8, "big"))
    assert [one.peer for one in look.draw.asked] == [peer(n) for n in (999, 1000, 1, 2)]


def test_those_whose_load_is_known_are_looked_at_too(mesh: Mesh) -> None:
    stage = Stage(mesh, build_profile("pool", "hot_cold", {"latency": 2, "load": 2}))
    known = [peer(number) for number in range(1, 9)]
    for one in known:
        stage.loads.put(one, load(0), NOW)
    stage.loads.put(peer(MANY + 1), load(0), NOW)  # has withdrawn since
    look = stage.look()
    assert {one.peer for one in look.draw.shortlist} <= set(known)
    assert len(look.draw.shortlist) == len(known) - 1
    assert look.awaited == ()
    assert len(look.asked) == 3
    assert stage.choosing.ask(look, NOW)
    assert stage.choosing.is_ready(look)


@pytest.mark.parametrize("profile", ["default", "sticky"])
def test_who_has_read_the_prompt_is_looked_at_if_the_profile_weighs_it(
    mesh: Mesh, profile: str
) -> None:
    """RTE-50: though others have served since."""
    stage = Stage(mesh, profile)
    turns = compute_turns(CHAT)
    for number in range(777, 777 + CUSTOMARY + 1):
        read = turns if number == 777 else ()
        stage.router.on_order(build_job(1), peer(number), NOW, read)
        stage.router.on_end(build_job(1), peer(number), is_good=True)
    for _ in range(10):
        look = stage.look(turns=turns, prefix=bytes(8))
        is_listed = peer(777) in [one.peer for one in look.draw.shortlist]
        assert is_listed == (profile == "default")
        assert mesh.looked_at <= choosing.LIMITS[0] + CUSTOMARY + 1


@pytest.mark.parametrize("profile", ["default", "sticky"])
def test_those_that_served_last_are_looked_at_if_the_profile_weighs_latency(
    mesh: Mesh, profile: str
) -> None:
    """RTE-52."""
    stage = Stage(mesh, profile)
    customary = [peer(number) for number in range(701, 720)]
    for number, one in enumerate(customary):
        stage.router.on_order(build_job(number), one, NOW)
        stage.router.on_end(build_job(number), one, is_good=True)
    look = stage.look(prefix=bytes(8))
    kept = {one.peer for one in look.selection.kept}
    assert kept.issuperset(customary[-CUSTOMARY:]) == (profile == "default")
    assert mesh.looked_at <= choosing.LIMITS[0] + CUSTOMARY


def test_more_are_looked_at_where_a_few_will_not_do(mesh: Mesh) -> None:
    stage = Stage(mesh)
    look = stage.look(max_prompt_price=Wei(5))
    assert choosing.LIMITS[0] < mesh.looked_at < MANY
    assert len(look.selection.kept) >= choosing.ENOUGH
    look = stage.look(max_prompt_price=Wei(1), denied=(peer(100),))
    assert len(look.selection.kept) == 9
    assert look.selection.seen == MANY
    assert "RTE-13" in stage.look(max_prompt_price=Wei(0)).selection.why_none


def test_who_is_named_is_looked_up(mesh: Mesh) -> None:
    stage = Stage(mesh)
    look = stage.look(only=(peer(7), peer(MANY + 1)))
    assert mesh.looked_at == 1
    assert [one.peer for one in look.selection.kept] == [peer(7)]
    assert look.asked == ()
    assert "RTE-7" in stage.look(only=(peer(MANY + 1),)).selection.why_none
    assert stage.look(model=None, only=(peer(7),)).selection.kept


def test_the_choice_waits_for_the_answers_it_wants(mesh: Mesh) -> None:
    stage = Stage(mesh)
    look = stage.look()
    effects = stage.choosing.ask(look, NOW)
    streams = [one for one in effects if isinstance(one, OpenStream)]
    assert [one.peer for one in streams] == list(look.awaited)
    assert not stage.choosing.is_ready(look)
    for one in streams:
        stage.probes.step(StreamFailed(one.stream, "closed"), NOW)
    assert stage.choosing.is_ready(look)
    decision = stage.choosing.explain(look, NOW)
    assert decision.listed == CHOICES
    assert decision.why.startswith("the highest score, ")
    assert len(stage.choosing.rank(look, look.want, NOW)) == len(decision.ranked)


def test_the_index_follows_prices_over_splits_and_forgets_whole() -> None:
    mesh = Mesh(3)
    group = mesh.get_group("tiny", "chat")
    assert group.cheapest(3) == [peer(1), peer(2), peer(3)]
    mesh.put(1, epoch=1, prompt_price=Wei(3), completion_price=Wei(3))  # 1.5 each before the split
    assert group.cheapest(3) == [peer(1), peer(2), peer(3)]
    mesh.put(1, epoch=1, prompt_price=Wei(7), completion_price=Wei(7))
    assert group.cheapest(3) == [peer(2), peer(1), peer(3)]
    assert mesh.get_group(None, "chat") is not group
    assert len(mesh.get_group(None, "chat")) == 3
    assert len(mesh.get_group("other", "chat")) == 0
    index = CapabilityIndex()
    index.put(peer(1), None, PLAIN)
    index.put(peer(2), PLAIN, None)
    assert index.models() == ("tiny",)
    index.put(peer(1), PLAIN, None)
    index.put(peer(1), PLAIN, None)
    assert index.models() == ()


def test_many_that_come_at_once_stand_as_if_they_had_come_one_by_one() -> None:
    mesh, slow = Mesh(MANY), Mesh(0)
    for number in range(MANY, 0, -1):
        slow.put(number)
        assert len(slow.get_group("tiny", "chat").ring) == MANY + 1 - number
    at_once, one_by_one = (one.get_group("tiny", "chat") for one in (mesh, slow))
    assert at_once.ring == one_by_one.ring
    assert at_once.cheapest(MANY) == one_by_one.cheapest(MANY)


def test_of_a_farm_its_members_alone_are_looked_at() -> None:
    """RTE-26: by its name, its id, or the profile, however many others there are."""
    mesh = Mesh(MANY)
    for number in (5, 500, 900):
        mesh.put(number, farms=(FARM.admit(MEMBER),))
    farm_id = format_peer_id(FARM.peer)
    for stage, farm in (
        (Stage(mesh), "harvest"),
        (Stage(mesh), farm_id),
        (Stage(mesh, replace(PROFILES["default"], farm="harvest")), ""),
    ):
        look = stage.look(farm=farm)
        assert {one.peer for one in look.selection.kept} == {peer(n) for n in (5, 500, 900)}
        assert {one.membership and one.membership.farm for one in look.selection.kept} == {
            FARM.public_key
        }
        assert mesh.looked_at == 3
    mesh.put(5, farms=(OTHER_FARM.admit(MEMBER), FARM.admit(MEMBER)))
    assert len(Stage(mesh).look(farm="harvest").selection.kept) == 3
    mesh.put(5)
    assert len(Stage(mesh).look(farm="harvest").selection.kept) == 2


def test_a_model_that_no_member_has_is_no_reason_to_leave_the_farm() -> None:
    mesh = Mesh(4)
    mesh.put(1, farms=(FARM.admit(MEMBER),), model="another")
    look = Stage(mesh).look(farm="harvest")
    assert not look.selection.kept
    assert look.selection.why_none == (
        "RTE-26: 3 offers are of peers that are not, or no more, of farm "
        f"{format_peer_id(FARM.peer)}"
    )


def test_a_name_that_two_farms_have_names_neither() -> None:
    """RTE-27: whoever takes a farm's name gets none of its orders; the id says who is meant."""
    mesh = Mesh(4)
    squatter = Farm(77, "harvest")
    mesh.put(1, farms=(FARM.admit(MEMBER),))
    mesh.put(2, farms=(squatter.admit(MEMBER),))
    ids = sorted(format_peer_id(one.peer) for one in (FARM, squatter))
    look = Stage(mesh).look(farm="harvest")
    assert not look.selection.kept
    assert look.selection.why_none == (
        f"RTE-27: 2 farms are called harvest; say which by its id: farm:{ids[0]}, farm:{ids[1]}"
    )
    kept = Stage(mesh).look(farm=format_peer_id(FARM.peer)).selection.kept
    assert [one.peer for one in kept] == [peer(1)]


def test_a_farm_that_nobody_sells_through_is_named_with_those_near() -> None:
    mesh = Mesh(4)
    assert Stage(mesh).look(farm="harvets").selection.why_none == (
        "RTE-27: nobody sells through farm harvets; there are: none"
    )
    mesh.put(1, farms=(FARM.admit(MEMBER),))
    assert Stage(mesh).look(farm="harvets").selection.why_none.endswith("nearest: harvest")
    assert Stage(mesh).look(farm="x").selection.why_none.endswith("there are: harvest")


def test_a_family_is_found_without_looking_at_everybody(mesh: Mesh) -> None:
    """RTE-1."""
    mesh.put(7, model="small-7b")
    mesh.put(8, model="small-13b-q4")
    stage = Stage(mesh)
    look = stage.look(model=None, family="small")
    assert {one.peer for one in look.selection.kept} == {peer(7), peer(8)}
    assert mesh.looked_at == 2
    why = stage.look(model=None, family="smoll").selection.why_none
    assert why == "RTE-1: nobody offers a model of the family smoll; nearest: small"
    for number in (7, 8):
        mesh.put(number)
    assert len(mesh.get_group(None, "chat", family="small")) == 0


def survey(stage: Stage, *known: PeerId, **want: object) -> tuple[list[PeerId], str, int]:
    """Whom a survey finds, why nobody, and how many it probes."""
    wanted: dict[str, Any] = {"kind": "chat", "model": OFFER.model, "max_tokens": 10} | want
    found, why, effects = stage.choosing.survey(Want(**wanted), known, NOW)
    asked = [effect for effect in effects if isinstance(effect, OpenStream)]
    peers = [one.peer for one in found]
    assert stage.choosing.is_waiting(peers) or not asked
    return peers, why, len(asked)


def test_a_survey_shows_and_probes_everybody_who_would_do() -> None:
    stage = Stage(Mesh(choosing.LIMITS[0]))
    peers, why, asked = survey(stage)
    assert len(set(peers)) == len(peers) == asked == choosing.LIMITS[0]
    assert why == ""
    # Who is being asked is not asked twice.
    assert survey(stage)[2] == 0
    assert survey(Stage(Mesh(9)), kind="embedding")[0] == []
    assert "RTE-2" in survey(Stage(Mesh(9)), kind="embedding")[1]


def test_a_survey_of_a_large_mesh_shows_a_few_and_those_known(mesh: Mesh) -> None:
    stage = Stage(mesh)
    first, _, _ = survey(stage)
    assert len(first) == choosing.LIMITS[0]
    again, _, _ = survey(stage, *first)
    assert len(set(again)) == len(again) > len(first)
    assert set(first) < set(again)
    # Who would not do any more is not among them, known or not.
    denied = first[0]
    assert denied not in survey(stage, *first, denied=(denied,))[0]


def test_a_survey_of_a_farm_that_is_not_there_says_so() -> None:
    peers, why, asked = survey(Stage(Mesh(9)), farm="nowhere")
    assert (peers, asked) == ([], 0)
    assert "RTE-" in why
