"""Filters, scores, circuits and the order in which candidates are tried."""

from collections import Counter
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_modelex.core.routing import circuits as breaker
from p2p_modelex.core.routing import loads as book
from p2p_modelex.core.routing.candidate import Want, compute_cost
from p2p_modelex.core.routing.circuits import Circuits
from p2p_modelex.core.routing.loads import ProbeBook
from p2p_modelex.core.routing.profile import CHOICES, FILTERS, build_profile
from p2p_modelex.core.routing.router import Selection
from p2p_modelex.errors import BadInput
from p2p_modelex.records.registry import SECTIONS, Standing
from p2p_modelex.units import AI, UINT128_MAX, Epoch, UnixMs, Wei
from tests.core.routing.scene import NOW, WANT, Scene, candidate, load, offer, peer


@pytest.mark.parametrize(
    ("want", "rule", "says"),
    [
        ({"model": "smollm"}, "RTE-1", "nearest: smollm2"),
        ({"model": "zzz"}, "RTE-1", "on offer: smollm2"),
        ({"family": "smolm2"}, "RTE-1", "the family smolm2; nearest: smollm2"),
        ({"family": "smollm2", "weights": b"x" * 32}, "RTE-1", "other weights"),
        ({"weights": b"x" * 32}, "RTE-1", "other weights"),
        ({"model": "smollm2", "weights": b"x" * 32}, "RTE-1", "other weights"),
        ({"kind": "score"}, "RTE-2", "serves score; offers serve: chat"),
        ({"features": ("grammar",)}, "RTE-2", "chat with grammar"),
        ({"prompt_tokens": 3000}, "RTE-3", "the longest context is 2048"),
        ({"max_tokens": 513}, "RTE-3", "the longest completion 512"),
        ({"epoch": Epoch(1)}, "RTE-4", "split epoch 1"),
        ({"max_cost": Wei(AI - 1)}, "RTE-5", "the cheapest is 1 AI"),
        ({"max_prompt_price": Wei(AI - 1)}, "RTE-13", "1000 AI prompt and 1000 AI completion"),
        ({"max_completion_price": Wei(AI - 1)}, "RTE-13", "the lowest for 1,000 tokens"),
        (
            {"standings": SECTIONS["registered"]},
            "RTE-14",
            "nobody is registered or whitelisted; there are: unregistered",
        ),
        ({"denied": (peer(1),)}, "RTE-7", "1 offer is of peers that were denied"),
        ({"only": (peer(2),)}, "RTE-7", "not named"),
    ],
)
def test_who_removed_the_last_one_is_said(want: dict[str, Any], rule: str, says: str) -> None:
    selection = Scene().select(candidate(1, offer("smollm2", AI)), **want)
    assert selection.kept == ()
    assert selection.why_none.startswith(f"{rule}: ")
    assert says in selection.why_none
    assert selection.removed[-1][2] == 1


def test_absurd_prices_are_said_as_they_are() -> None:
    """What is a price can be more in sum than an amount can."""
    absurd = candidate(1, offer(price=UINT128_MAX))
    why = Scene().select(absurd, max_prompt_price=Wei(1)).why_none
    assert "the lowest for 1,000 tokens are 34028236692" in why
    assert "best score" in Scene("cheapest").explain([absurd]).why


@pytest.mark.parametrize(
    ("section", "kept"),
    [
        ("any", [Standing.UNREGISTERED, Standing.REGISTERED, Standing.WHITELISTED]),
        ("registered", [Standing.REGISTERED, Standing.WHITELISTED]),
        ("whitelisted", [Standing.WHITELISTED]),
        ("all", list(Standing)),
    ],
)
def test_a_section_keeps_who_is_in_it_and_not_who_claims_it(
    section: str, kept: list[Standing]
) -> None:
    """RTE-14."""
    everyone = [candidate(1 + standing, standing=standing) for standing in Standing]
    selection = Scene().select(*everyone, standings=SECTIONS[section])
    assert [one.standing for one in selection.kept] == kept


def test_every_filter_has_a_rule_of_its_own() -> None:
    assert len({one.rule for one in FILTERS} | {one.name for one in FILTERS}) == 2 * len(FILTERS)


def test_filters_keep_what_fits_and_count_the_rest() -> None:
    scene = Scene()
    for _ in range(breaker.FAILURES_TO_OPEN):
        scene.circuits.on_failure(peer(3), NOW)
    good = candidate(1)
    selection = scene.select(good, candidate(2, offer("other")), candidate(3), model="m")
    assert selection == Selection(3, (good,), (("RTE-1", "model", 1), ("RTE-8", "health", 1)), "")
    sick = scene.select(candidate(3))
    assert sick.why_none.startswith("RTE-8: 1 offer is of peers that failed lately")
    late = scene.router.select([good], WANT, good.expires_at)
    assert late.why_none.startswith("RTE-8")
    assert scene.select().why_none == "no other peer offers anything yet"


def test_fresh_load_and_price_decide_the_order() -> None:
    """RTE-9, RTE-10, RTE-11."""
    scene = Scene()
    idle, busy, unknown, dear = (candidate(n) for n in range(1, 5))
    dear = candidate(4, offer(price=100))
    for one, running, latency in ((idle, 0, 100), (busy, 12, 2000), (dear, 0, 100)):
        scene.loads.put(one.peer, load(running, latency_ms=latency), NOW)
    ranked = scene.router.rank([busy, dear, unknown, idle], [], WANT, NOW)
    assert ranked[0] is idle
    assert ranked.index(dear) < ranked.index(busy)
    free = candidate(5, offer(price=0))
    assert Scene("cheapest").router.rank([idle, free], [], WANT, NOW)[0] is free
    closed = load(0, slots=0)
    scene.loads.put(idle.peer, closed, NOW)
    assert scene.router.rank([idle, dear], [], WANT, NOW)


def test_the_rest_follow_for_failover() -> None:
    scene = Scene()
    kept = [candidate(number) for number in range(1, 9)]
    shortlist = scene.shortlist(kept)
    assert len(shortlist) == CHOICES
    ranked = scene.router.rank(shortlist, kept, WANT, NOW)
    assert set(ranked[: len(shortlist)]) == set(shortlist)
    assert sorted(one.peer for one in ranked) == [one.peer for one in kept]


def test_one_peer_is_drawn_once_with_its_cheapest_offer() -> None:
    dear, cheap = candidate(1, offer("a", 9)), candidate(1, offer("b", 1))
    assert Scene().shortlist([dear, cheap]) == (cheap,)
    assert Scene().shortlist([cheap, dear]) == (cheap,)
    assert Scene().shortlist([]) == ()


def test_ties_are_broken_at_random_and_dear_ones_are_drawn_less() -> None:
    """RTE-12."""
    scene = Scene()
    equal = [candidate(number) for number in range(1, 4)]
    firsts = Counter(scene.router.rank(equal, [], WANT, NOW)[0].peer for _ in range(300))
    assert min(firsts[one.peer] for one in equal) > 60
    crowd = [candidate(number, offer(price=50)) for number in range(2, 40)]
    everyone = [candidate(1), *crowd]
    lists = [scene.shortlist(everyone) for _ in range(50)]
    assert sum(candidate(1) in one for one in lists) > 40


PRICES = st.tuples(st.integers(1, 20), st.integers(0, 2**100))


@given(st.lists(PRICES, max_size=30), st.integers(0, 9))
def test_ranking_loses_and_invents_nobody(prices: list[tuple[int, int]], seed: int) -> None:
    scene = Scene(seed=seed)
    kept = [candidate(number, offer(price=price)) for number, price in dict(prices).items()]
    shortlist = scene.shortlist(kept)
    ranked = scene.router.rank(shortlist, kept, WANT, NOW)
    assert sorted(one.peer for one in ranked) == sorted(one.peer for one in kept)
    again = Scene(seed=seed)
    assert again.shortlist(kept) == shortlist
    assert again.router.rank(shortlist, kept, WANT, NOW) == ranked


def test_the_cost_is_the_most_the_job_can_cost() -> None:
    want = Want("chat", prompt_tokens=10, max_tokens=7)
    one = offer(prompt_price=Wei(3), completion_price=Wei(5))
    assert compute_cost(one, want) == 65


def test_a_circuit_opens_rests_tries_and_closes() -> None:
    circuits = Circuits()
    one = peer(1)
    for _ in range(breaker.FAILURES_TO_OPEN - 1):
        circuits.on_failure(one, NOW)
    circuits.begin_trial(one, NOW)
    circuits.begin_trial(peer(2), NOW)
    assert not circuits.is_open(one, NOW)
    circuits.on_failure(one, NOW)
    assert circuits.is_open(one, NOW)
    rested = UnixMs(NOW + breaker.REST_MS)
    assert not circuits.is_open(one, rested)
    circuits.begin_trial(one, rested)
    assert circuits.is_open(one, rested)  # one trial at a time
    assert not circuits.is_open(one, UnixMs(rested + breaker.TRIAL_MS))
    circuits.on_failure(one, rested)
    assert circuits.is_open(one, UnixMs(rested + 2 * breaker.REST_MS - 1))
    assert not circuits.is_open(one, UnixMs(rested + 2 * breaker.REST_MS))
    for _ in range(50):
        circuits.on_failure(one, NOW)
    assert not circuits.is_open(one, UnixMs(NOW + breaker.REST_MAX_MS))
    circuits.on_success(one)
    assert not circuits.is_open(one, NOW)


def test_who_breaks_the_rules_rests_for_the_longest_at_once() -> None:
    circuits = Circuits()
    one = peer(1)
    circuits.on_failure(one, NOW, is_foul=True)
    assert circuits.is_open(one, UnixMs(NOW + breaker.REST_MAX_MS - 1))
    rested = UnixMs(NOW + breaker.REST_MAX_MS)
    assert not circuits.is_open(one, rested)
    circuits.on_failure(one, rested)  # and for as long again, if its trial fails in any way
    assert circuits.is_open(one, UnixMs(rested + breaker.REST_MAX_MS - 1))


def test_who_was_not_reached_and_advertises_anew_gets_a_trial() -> None:
    circuits = Circuits()
    one = peer(1)
    for _ in range(breaker.FAILURES_TO_OPEN):
        circuits.on_failure(one, NOW, unreached=7)
    assert circuits.is_open(one, NOW, 7)
    assert not circuits.is_open(one, NOW, 8)
    circuits.begin_trial(one, NOW)
    assert circuits.is_open(one, NOW, 8)  # one at a time
    circuits.end_trial(one)  # refused for a debt, say: it is there
    circuits.end_trial(peer(2))
    assert not circuits.is_open(one, NOW, 8)
    circuits.on_failure(one, NOW)  # it is there, and fails: a new advertisement helps no more
    assert circuits.is_open(one, NOW, 9)


def test_memories_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, "PEERS_MAX", 2)
    monkeypatch.setattr(book, "PEERS_MAX", 2)
    circuits, loads = Circuits(), ProbeBook()
    for number in (1, 2, 3):
        for _ in range(breaker.FAILURES_TO_OPEN):
            circuits.on_failure(peer(number), NOW)
        loads.put(peer(number), load(1), NOW)
    assert [circuits.is_open(peer(n), NOW) for n in (1, 2, 3)] == [False, True, True]
    assert [loads.get(peer(n), NOW) is None for n in (1, 2, 3)] == [True, False, False]
    assert loads.get(peer(3), UnixMs(NOW + book.FRESH_MS + 1)) is None


def test_a_profile_has_lists_and_may_want_evidence() -> None:
    """RTE-23, RTE-24."""
    weights = {"price": 1}
    one, other = candidate(1), candidate(2)
    allowing = Scene(build_profile("mine", "random", weights, allow=(peer(1),)))
    assert allowing.select(one, other).kept == (one,)
    denying = Scene(build_profile("mine", "random", weights, deny=(peer(1),)))
    assert denying.select(one, other).kept == (other,)
    why = denying.select(one).why_none
    assert why == "RTE-23: 1 offer is of peers that the profile denies or does not allow"
    proving = Scene(build_profile("mine", "random", weights, needs_evidence=True))
    assert proving.select(one).why_none.startswith("RTE-24: 1 offer is of peers that show no")
    said = msgspec.structs.replace(one.advertisement, evidence=b"e" * 32)
    proven = replace(one, advertisement=said)
    assert proving.select(one, proven).kept == (proven,)


def test_a_profile_that_weighs_nothing_is_refused() -> None:
    with pytest.raises(BadInput, match="'mine' weighs nothing"):
        build_profile("mine", "random", {"price": 0})


def test_a_family_is_all_models_of_its_name() -> None:
    """RTE-1."""
    models = ("smollm2-135m-instruct", "SmolLM2-1.7b-q4_k_m", "smollm3-3b", "smollm2")
    everyone = [candidate(number, offer(model)) for number, model in enumerate(models, 1)]
    kept = Scene().select(*everyone, family="smollm2").kept
    assert [one.peer for one in kept] == [peer(1), peer(2), peer(4)]


def test_who_is_near_scores_higher() -> None:
    """RTE-46."""
    scene = Scene(build_profile("near", "power_of_d", {"distance": 1}))
    everyone = [candidate(number) for number in (1, 2, 3)]
    for number, took_ms in ((1, 5), (1, 5), (2, 95)):
        scene.loads.note_trip(peer(number), took_ms)
    assert [one.total for one in scene.explain(everyone).ranked] == [1, 0.25, 0.1]


def test_round_trips_are_smoothed_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """RTE-46."""
    monkeypatch.setattr(book, "PEERS_MAX", 2)
    trips = ProbeBook()
    for number in (1, 2, 1, 3):
        trips.note_trip(peer(number), 100 * number)
    trips.note_trip(peer(1), 200)
    assert [trips.get_trip(peer(number)) for number in (1, 2, 3)] == [125, None, 300]


def test_ratings_count_and_a_profile_may_want_a_least_one() -> None:
    """RTE-48, RTE-49."""
    profile = build_profile("rated", "power_of_d", {"rating": 1}, least_rating=5_000)
    scene = Scene(profile)
    everyone = [candidate(number) for number in (1, 2, 3)]
    for number, rating in ((1, 5_000), (2, 4_999)):
        scene.ratings.put(peer(number), rating)
    assert [one.candidate.peer for one in scene.explain(everyone).ranked] == [peer(1)]
    why = scene.select(*everyone[1:]).why_none
    assert why == ("RTE-48: 2 offers are of peers that nobody who is believed rates 50 % or more")
    plain = Scene(build_profile("rated", "power_of_d", {"rating": 1}))
    for number, rating in ((1, 9_000), (2, 1_000)):
        plain.ratings.put(peer(number), rating)
    assert [one.total for one in plain.explain(everyone).ranked] == [0.9, 0.25, 0.1]
