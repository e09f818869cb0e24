"""Who has read a prompt is looked at, asked, and the better the more its engines keep (RTE-50)."""

import msgspec
import pytest

from p2p_modelex.core.prefixes import compute_turns
from p2p_modelex.core.routing.candidate import Want
from p2p_modelex.core.routing.profile import CHOICES, build_profile
from p2p_modelex.core.routing.scorers import Cached
from p2p_modelex.ids import JobId
from p2p_modelex.records.job import Message, Request
from tests.core.exchange.pair import CHAT
from tests.core.routing.scene import NOW, WANT, Scene, candidate, load, peer

JOB = JobId(bytes(16))
MANY = [candidate(number) for number in range(1, 13)]


def talk(*contents: str) -> Request:
    messages = tuple(Message("user", said) for said in contents)
    return msgspec.structs.replace(CHAT, messages=messages)


def want(*contents: str) -> Want:
    return Want("chat", max_tokens=10, turns=compute_turns(talk(*contents)))


def served(scene: Scene, number: int, *contents: str, is_good: bool | None = True) -> None:
    scene.router.on_order(JOB, peer(number), NOW, want(*contents).turns)
    scene.router.on_end(JOB, peer(number), is_good=is_good)


def keeps(scene: Scene, number: int, share: int) -> None:
    told = msgspec.structs.replace(load(0), cached=share)
    scene.loads.put(peer(number), told, NOW)


def test_the_score_is_what_was_read_and_is_kept() -> None:
    scene = Scene()
    served(scene, 1, "a" * 60)
    asked = want("a" * 60, "b" * 40)
    three = MANY[:3]
    assert Cached().scores(three, asked, scene.sight()) == [0.6 * 0.25, 0.0, 0.0]
    keeps(scene, 1, 5_000)
    assert Cached().scores(three, asked, scene.sight()) == [0.3, 0.0, 0.0]
    assert Cached().scores(three, want("z"), scene.sight()) == [0.0, 0.0, 0.0]
    assert Cached().scores(three, WANT, scene.sight()) == [0.0, 0.0, 0.0]
    # The conversation went on elsewhere.
    served(scene, 2, "a" * 60, "b" * 40)
    keeps(scene, 2, 10_000)
    assert Cached().scores(three, asked, scene.sight()) == [0.0, 1.0, 0.0]


@pytest.mark.parametrize("is_good", [False, None])
def test_who_did_not_end_well_has_read_nothing(is_good: bool | None) -> None:
    scene = Scene()
    served(scene, 1, "a", is_good=is_good)
    assert scene.router.find_reader(want("a")) is None


def test_the_reader_is_on_the_shortlist_and_asked() -> None:
    scene = Scene()
    served(scene, 7, "a")
    for _ in range(20):
        draw = scene.router.draw(MANY, want("a", "b"), NOW)
        peers = [one.peer for one in draw.shortlist]
        assert peers.count(peer(7)) == 1
        assert CHOICES <= len(peers) <= CHOICES + 1
        assert draw.asked == draw.shortlist
    others = scene.router.draw([one for one in MANY if one.peer != peer(7)], want("a", "b"), NOW)
    assert peer(7) not in [one.peer for one in others.shortlist]


def test_who_keeps_what_it_read_is_tried_first_unless_it_is_busy() -> None:
    scene = Scene()
    served(scene, 7, "a")
    # Alike but for what they have read.
    for number in range(1, 13):
        scene.router.on_order(JOB, peer(number), NOW)
        scene.router.on_end(JOB, peer(number), is_good=True)
        scene.loads.put(peer(number), load(0), NOW)
    keeps(scene, 7, 10_000)
    assert {scene.first(MANY, want("a", "b")) for _ in range(20)} == {peer(7)}
    busy = msgspec.structs.replace(load(4, slots=4), waiting=20, cached=10_000)
    scene.loads.put(peer(7), busy, NOW)
    assert peer(7) not in {scene.first(MANY, want("a", "b")) for _ in range(20)}


def test_a_profile_that_does_not_weigh_it_draws_as_before() -> None:
    for picker, more in (("random", 12), ("power_of_d", CHOICES)):
        scene = Scene(build_profile("own", picker, {"price": 1}))
        served(scene, 7, "a")
        assert scene.router.find_reader(want("a")) is None
        assert len(scene.router.draw(MANY, want("a"), NOW).shortlist) == more
    # Nobody is probed where the picker asks nobody.
    scene = Scene(build_profile("own", "random", {"cache": 1}))
    served(scene, 7, "a")
    assert scene.router.draw(MANY, want("a"), NOW).asked == ()
