"""Who can be paid at once is on the shortlist, and the others wait for a deposit (RTE-10, 52)."""

from p2p_modelex.core.routing.profile import CHOICES, build_profile
from p2p_modelex.core.routing.scorers import FUNDED, Latency
from p2p_modelex.units import Millis
from tests.core.routing.scene import NOW, WANT, Scene, candidate, load, peer

MANY = [candidate(number) for number in range(1, 31)]


def shortlist(scene: Scene) -> list[bytes]:
    draw = scene.router.draw(MANY, WANT, NOW)
    assert draw.asked == draw.shortlist
    return [one.peer for one in draw.shortlist]


def test_three_of_those_who_can_be_paid_are_on_the_shortlist() -> None:
    scene = Scene()
    scene.funded = {peer(7), peer(8), peer(9), peer(10)}
    seen: set[bytes] = set()
    for _ in range(30):
        listed = shortlist(scene)
        funded = scene.funded.intersection(listed)
        assert len(funded) >= FUNDED
        assert CHOICES <= len(listed) == len(set(listed)) <= CHOICES + FUNDED
        seen |= funded
    assert seen == scene.funded


def test_who_served_badly_is_drawn_less() -> None:
    scene = Scene()
    scene.funded = {peer(number) for number in range(7, 13)}
    scene.serve(7, *[False] * 20)
    times = sum(peer(7) in shortlist(scene) for _ in range(100))
    assert times < 30, "of three in six each, fifty and what is drawn besides"


def test_a_profile_that_weighs_no_latency_does_not_care() -> None:
    scene = Scene(build_profile("mine", "power_of_d", {"price": 1, "load": 1}))
    scene.funded = {peer(7)}
    assert sum(peer(7) in shortlist(scene) for _ in range(30)) < 20
    assert tuple(scene.router.find_customary()) == ()


def test_a_deposit_is_a_part_of_the_time_to_expect_where_three_need_none() -> None:
    scene, four = Scene(), MANY[:4]
    for one in four:
        scene.loads.put(one.peer, load(0, latency_ms=490), NOW)
    scene.funded = {peer(1), peer(2), peer(3)}
    assert Latency().scores(four, WANT, scene.sight()) == [1, 1, 1, 1], "none was ever made"
    scene.router.on_deposit(Millis(1_500))
    assert Latency().scores(four, WANT, scene.sight()) == [1, 1, 1, 500 / 2_000]
    scene.router.on_deposit(Millis(5_500))
    assert Latency().scores(four, WANT, scene.sight()) == [1, 1, 1, 500 / 3_000]
    assert Latency().scores(four[1:], WANT, scene.sight()) == [1, 1, 1]


def test_a_deposit_is_made_where_those_who_can_be_paid_are_slow() -> None:
    scene = Scene(build_profile("mine", "power_of_d", {"latency": 1}))
    scene.router.on_deposit(Millis(2_000))
    scene.funded = {peer(1), peer(2), peer(3)}
    for one in MANY[:3]:
        scene.loads.put(one.peer, load(4, latency_ms=9_000), NOW)
    scene.loads.put(peer(4), load(0, latency_ms=100), NOW)
    assert scene.first(MANY[:4]) == peer(4)
    scene.loads.put(peer(2), load(0, latency_ms=1_000), NOW)
    assert scene.first(MANY[:4]) == peer(2)
