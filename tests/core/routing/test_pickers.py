"""Who is asked and who is tried first, picker by picker."""

from collections import Counter

import pytest

from p2p_modelex.core.routing.candidate import Candidate, Want
from p2p_modelex.core.routing.pickers import hot_cold
from p2p_modelex.core.routing.profile import PICKERS, PROFILES, Profile, build_profile
from p2p_modelex.core.routing.rating_book import RATING_MAX
from p2p_modelex.core.routing.ring import distance
from p2p_modelex.ids import JobId
from p2p_modelex.units import UnixMs
from tests.core.routing.scene import NOW, WANT, Scene, candidate, load, offer, peer

JOB = JobId(bytes(16))
MANY = [candidate(number) for number in range(1, 9)]


def profile(picker: str, **weights: int) -> Profile:
    return build_profile("mine", picker, weights or {"load": 1})


def prefixed(point: int) -> Want:
    return Want("chat", max_tokens=10, prefix=bytes([point]) * 32)


@pytest.mark.parametrize("picker", PICKERS)
def test_every_picker_keeps_everybody_and_says_why(picker: str) -> None:
    one, again = Scene(profile(picker)), Scene(profile(picker))
    for each in MANY[:4]:
        for scene in (one, again):
            scene.loads.put(each.peer, load(1), NOW)
    decision = one.explain(MANY)
    assert again.explain(MANY) == decision
    assert sorted(each.candidate.peer for each in decision.ranked) == [m.peer for m in MANY]
    assert (decision.picker, decision.seen, decision.scorers) == (picker, 8, ("load",))
    assert decision.why
    assert all(0 <= each.total <= 1 for each in decision.ranked)


def test_nobody_left_is_explained_by_the_filter() -> None:
    decision = Scene().explain(MANY, Want("chat", model="other"))
    assert decision.ranked == ()
    assert decision.removed == (("RTE-1", "model", 8),)
    assert decision.why.startswith("RTE-1: nobody offers other")


def test_random_gives_all_the_same_chance() -> None:
    """RTE-18."""
    scene = Scene(profile("random"))
    firsts = Counter(scene.first(MANY[:3]) for _ in range(300))
    assert min(firsts[one.peer] for one in MANY[:3]) > 70
    assert scene.explain(MANY[:3]).why == "drawn at random among 3"


def test_weighted_gives_the_better_more() -> None:
    """RTE-19."""
    scene = Scene(profile("weighted", price=1))
    cheap, dear = candidate(1), candidate(2, offer(price=4))
    firsts = Counter(scene.first([cheap, dear]) for _ in range(300))
    assert 30 < firsts[dear.peer] < 100
    why = scene.explain([cheap, dear]).why
    assert why in [f"drawn by score among 2; its chance was {share}" for share in ("80%", "20%")]


def fastest(loads: dict[int, tuple[int, int]], seed: int = 1) -> tuple[Scene, list[Candidate]]:
    """A pool of answers: number -> (running, latency in ms)."""
    scene = Scene(profile("hot_cold", latency=2, load=2, record=1), seed)
    for number, (running, latency_ms) in loads.items():
        scene.loads.put(peer(number), load(running, latency_ms=latency_ms), NOW)
    return scene, [candidate(number) for number in loads]


def test_the_quickest_of_the_cold_is_taken() -> None:
    """RTE-20."""
    scene, kept = fastest({1: (1, 90), 2: (1, 40), 3: (3, 35), 4: (4, 10), 5: (5, 1)})
    ranked = scene.router.rank(kept, kept, WANT, NOW)
    # 3 is quick, but not at its load; 4 and 5 have no free slot, though they say they are quick.
    assert [one.peer for one in ranked] == [peer(number) for number in (2, 3, 1, 4, 5)]
    assert hot_cold.compute_limit([1.0] * 7 + [9.0]) == 1.0
    crowd = {number: (0, 100 + number) for number in range(1, 8)} | {8: (3, 1)}
    scene, kept = fastest(crowd)
    ranked = scene.router.rank(kept, kept, WANT, NOW)
    assert ranked[0].peer == peer(1)
    assert ranked[-1].peer == peer(8)  # busier than most
    assert hot_cold.compute_limit([]) == 0


def test_an_answer_is_not_waited_for_where_there_is_a_pool() -> None:
    scene, kept = fastest({1: (0, 5)})
    draw = scene.router.draw([*kept, *MANY[1:]], WANT, NOW)
    assert draw.waits
    assert draw.shortlist == draw.asked
    assert len(draw.asked) == hot_cold.PROBES
    scene, kept = fastest(dict.fromkeys(range(1, 7), (0, 5)))
    draw = scene.router.draw([*kept, *MANY[6:]], WANT, NOW)
    assert not draw.waits
    assert len(draw.shortlist) == 5  # one answer is taken out with each request
    assert len(draw.asked) == hot_cold.PROBES
    assert {one.peer for one in draw.shortlist} < {one.peer for one in kept}


def test_the_oldest_or_the_worst_answer_goes() -> None:
    gone = set()
    for seed in range(20):
        scene, kept = fastest({1: (1, 5), 2: (9, 5), 3: (2, 5)}, seed)
        scene.router.draw(kept, WANT, NOW)
        gone |= {one.peer for one in kept if scene.loads.get(one.peer, NOW) is None}
    assert gone == {peer(1), peer(2)}
    scene, kept = fastest({1: (1, 5), 2: (2, 5), 3: (3, 5)})
    scene.loads.put(peer(2), load(0, slots=0), NOW)  # sells nothing any more
    scene.router.draw(kept, WANT, NOW)
    assert len(scene.loads.get_newest(NOW, 9)) == 2


def test_an_answer_is_reused_a_few_times_and_counts_our_own_orders() -> None:
    """RTE-17."""
    assert [hot_cold.compute_reuse(many) for many in (0, 2, 8, 32, 1000)] == [1, 4, 4, 4, 2]
    scene, kept = fastest({1: (0, 5), 2: (0, 5)})
    uses = hot_cold.compute_reuse(2)
    for _ in range(uses):
        assert scene.router.draw(kept, WANT, NOW).shortlist
        scene.router.on_order(JOB, peer(1), NOW)
    known = scene.loads.get(peer(1), NOW)
    assert known is not None
    assert known.running == uses
    assert scene.loads.get_uses(peer(1)) == uses
    assert scene.router.draw(kept, WANT, NOW).waits  # it is used up, and one is no pool
    assert scene.loads.get(peer(1), NOW) is None
    scene.router.on_order(JOB, peer(5), NOW)
    assert scene.loads.get_uses(peer(5)) == 0


def test_an_order_that_is_over_runs_no_more() -> None:
    scene, _ = fastest({1: (1, 5)})
    for who, expected in ((1, 0), (1, 0), (2, 0)):
        scene.router.on_order(JOB, peer(who), NOW)
        scene.router.on_text(JOB, NOW)
        scene.router.on_end(JOB, peer(who), is_good=True)
        scene.router.on_end(JOB, peer(who), is_good=None)
        known = scene.loads.get(peer(1), NOW)
        assert known is not None
        assert known.running == expected


def test_the_newest_answers_are_the_pool() -> None:
    scene, _ = fastest({1: (0, 5), 2: (0, 5), 3: (0, 5)})
    assert scene.loads.get_newest(NOW, 2) == [peer(3), peer(2)]
    late = UnixMs(NOW + 1500)
    scene.loads.put(peer(4), load(0), late)
    assert scene.loads.get_newest(UnixMs(NOW + 2500), 9) == [peer(4)]


@pytest.mark.parametrize(
    ("pool", "why"),
    [
        ({1: (1, 90), 2: (1, 40)}, "the quickest, 51 ms at its load, of the cold among 2"),
        ({}, "none of 2 has told its load; the highest score"),
    ],
)
def test_the_pool_explains_itself(pool: dict[int, tuple[int, int]], why: str) -> None:
    scene, _ = fastest(pool)
    assert scene.explain([candidate(1), candidate(2)]).why.startswith(why)


def test_who_is_all_that_is_left_and_hot_is_taken() -> None:
    scene, kept = fastest(dict.fromkeys(range(1, 8), (1, 5)) | {8: (9, 1)})
    selection = scene.router.select(kept, WANT, NOW)
    scored = list(scene.router.explain(selection, kept, WANT, NOW).ranked)
    sight = scene.sight()
    why = scene.router.profile.picker.explain([scored[-1], *scored[:-1]], WANT, sight)
    assert why == "all of 8 are hot; the least busy, 2.25 requests a slot"


def test_a_conversation_stays_with_the_first_on_the_ring_that_has_room() -> None:
    """RTE-21, RTE-15."""
    want = prefixed(4)
    ring = sorted(MANY, key=lambda one: distance(one.peer, want.prefix))
    assert [one.peer for one in ring[:4]] == [peer(4), peer(5), peer(6), peer(7)]
    assert distance(peer(3), want.prefix) > distance(peer(8), want.prefix)  # it goes round
    scene = Scene("sticky")
    assert {one.peer for one in scene.router.draw(MANY, want, NOW).asked} == {
        peer(number) for number in (4, 5, 6, 7)
    }
    for number, running in ((4, 3), (5, 0), (6, 0)):
        scene.loads.put(peer(number), load(running), NOW)
    decision = scene.explain(MANY, want)
    assert decision.ranked[0].candidate.peer == peer(4)  # a slot is free
    assert decision.ranked[0].scores[0] == 1
    assert decision.ranked[1].scores[0] == 0.5
    assert decision.why == "the conversation belongs to it, and it has room"
    scene.loads.put(peer(4), load(4), NOW)
    decision = scene.explain(MANY, want)
    assert decision.ranked[0].candidate.peer == peer(5)
    assert decision.why.startswith("it has room; 1 before it")
    assert scene.first(MANY, prefixed(7)) == peer(7)


def test_when_all_are_full_the_bound_is_a_share_of_all() -> None:
    scene, want = Scene("sticky"), prefixed(4)
    for number, running in ((4, 9), (5, 8), (6, 8)):
        scene.loads.put(peer(number), load(running), NOW)
    assert scene.first(MANY, want) == peer(4)  # 26 in 12 slots: its bound is 11
    scene.loads.put(peer(4), load(14), NOW)
    assert scene.first(MANY, want) == peer(5)
    scene = Scene("sticky")
    assert scene.first(MANY, want) == peer(4)
    assert "neither it nor" in scene.explain(MANY, want).why


def test_without_a_conversation_affinity_scores_nobody_down() -> None:
    assert set(Scene("sticky").explain(MANY).ranked[0].scores) <= {1.0, 0.25, 0.5}


def test_the_cheapest_that_answers_soon_is_taken() -> None:
    """RTE-22."""
    cheap, middle, dear = (candidate(number, offer(price=number)) for number in (1, 2, 3))
    kept = [dear, cheap, middle]
    scene = Scene("cheapest")
    assert "none of 3 is sure to begin within 5000 ms" in scene.explain(kept).why
    for one in kept:
        scene.loads.put(one.peer, load(0), NOW)
    decision = scene.explain(kept)
    assert [one.candidate for one in decision.ranked] == [cheap, middle, dear]
    assert decision.why.startswith("the cheapest, ")
    scene.loads.put(cheap.peer, load(0, latency_ms=6000), NOW)
    assert scene.first(kept) == middle.peer
    scene.loads.put(middle.peer, load(4), NOW)
    assert scene.first(kept) == dear.peer


def test_who_wants_it_cheap_sees_dearer_ones_too_as_the_cheap_may_all_be_busy() -> None:
    """RTE-22."""
    kept = [candidate(number, offer(price=number)) for number in range(1, 13)]
    scene = Scene("cheapest")
    drawn = scene.router.draw(kept, WANT, NOW)
    assert drawn.waits
    assert drawn.asked == drawn.shortlist
    assert drawn.asked[:4] == tuple(kept[:4])
    others = drawn.asked[4:]
    assert len(others) == 4
    assert set(others) <= set(kept[4:])
    for one in kept:
        scene.loads.put(one.peer, load(4 if one in kept[:4] else 0), NOW)
    assert scene.router.rank(drawn.shortlist, kept, WANT, NOW)[0] in others
    scene.loads.put(kept[3].peer, load(0), NOW)
    assert scene.router.rank(drawn.shortlist, kept, WANT, NOW)[0] == kept[3]


def test_names_are_those_of_the_pickers() -> None:
    assert [profile(name).picker.name for name in PICKERS] == list(PICKERS)
    assert len({profile(name).picker.rule for name in PICKERS}) == len(PICKERS)
    assert {one.picker.name for one in PROFILES.values()} <= set(PICKERS)


def test_a_crowd_of_baits_does_not_hide_who_serves() -> None:
    """RTE-12: half of the shortlist is drawn by our record and the ratings, whatever it costs."""
    scene = Scene(profile("power_of_d", record=1))
    baits = [candidate(number, offer(price=1)) for number in range(1, 21)]
    honest = candidate(50, offer(price=100))
    before = _count_listed(scene, [*baits, honest], honest)
    for bait in baits:
        scene.ratings.put(bait.peer, 0)
    scene.ratings.put(honest.peer, RATING_MAX)
    assert before < 60
    assert _count_listed(scene, [*baits, honest], honest) > 150


def test_who_served_us_well_is_drawn_more_often_than_who_failed() -> None:
    """RTE-12."""
    scene = Scene(profile("power_of_d", record=1))
    good, bad = candidate(30), candidate(31)
    for number in range(20):
        for one, is_good in ((good, True), (bad, False)):
            job = JobId(bytes([number, is_good]) * 8)
            scene.history.on_order(job, one.peer, NOW)
            scene.history.on_end(job, is_good=is_good)
    others = [candidate(number) for number in range(1, 21)]
    everybody = [*others, good, bad]
    drawn = _count_listed(scene, everybody, good), _count_listed(scene, everybody, bad)
    assert drawn[0] > 1.4 * drawn[1]


def _count_listed(scene: Scene, candidates: list[Candidate], one: Candidate) -> int:
    draws = [scene.router.draw(candidates, WANT, NOW) for _ in range(200)]
    return sum(one in draw.shortlist for draw in draws)
