"""Our own experience, and what scores make of it."""

import pytest

from p2p_modelex.core.routing import history as module
from p2p_modelex.core.routing.history import SMOOTHING, History
from p2p_modelex.core.routing.profile import build_profile
from p2p_modelex.ids import JobId
from p2p_modelex.units import UnixMs
from tests.core.routing.scene import NOW, Scene, candidate, load, peer


def job(number: int) -> JobId:
    return JobId(bytes([number]) * 16)


def serve(history: History, who: int, took_ms: int, *, is_good: bool | None = True) -> None:
    """A job there; the first text after so long, and another, which does not count."""
    history.on_order(job(1), peer(who), NOW)
    history.on_text(job(1), UnixMs(NOW + took_ms))
    history.on_text(job(1), UnixMs(NOW + 10 * took_ms))
    history.on_end(job(1), is_good=is_good)


def test_a_record_is_of_first_texts_and_ends() -> None:
    history = History()
    assert history.get(peer(1)) is None
    serve(history, 1, 100)
    serve(history, 1, 200, is_good=False)
    past = history.get(peer(1))
    assert past is not None
    assert (past.good, past.bad, past.first_ms) == (1, 1, 125)
    serve(history, 2, 7, is_good=None)  # cancelled: nobody's fault, but how soon it began counts
    other = history.get(peer(2))
    assert other is not None
    assert (other.good, other.bad, other.first_ms) == (0, 0, 7)
    history.on_text(job(9), NOW)
    history.on_end(job(9), is_good=True)
    assert history.get(peer(9)) is None


def test_what_is_long_ago_fades() -> None:
    history = History()
    for _ in range(module.MEMORY):
        serve(history, 1, 1, is_good=False)
    serve(history, 1, 1)
    past = history.get(peer(1))
    assert past is not None
    assert (past.good, past.bad) == (0.5, module.MEMORY / 2)


def test_memories_of_peers_and_jobs_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PEERS_MAX", 2)
    monkeypatch.setattr(module, "JOBS_MAX", 1)
    history = History()
    for who in (1, 2, 1, 3):
        serve(history, who, 1)
    assert [history.get(peer(who)) is None for who in (1, 2, 3)] == [False, True, False]
    history.on_order(job(1), peer(4), NOW)
    history.on_order(job(2), peer(5), NOW)
    for number in (1, 2):
        history.on_end(job(number), is_good=True)
    assert history.get(peer(4)) is None
    assert history.get(peer(5)) is not None


def test_who_served_well_scores_higher_and_who_says_less_than_it_does_is_found_out() -> None:
    """RTE-16, RTE-10."""
    scene = Scene(build_profile("mine", "power_of_d", {"record": 1}))
    everyone = [candidate(number) for number in (1, 2, 3)]
    serve(scene.history, 1, 9, is_good=False)
    serve(scene.history, 2, 2000)
    assert scene.first(everyone) == peer(2)
    assert [one.total for one in scene.explain(everyone).ranked] == [2 / 3, 1 / 2, 1 / 3]
    quick = Scene(build_profile("mine", "power_of_d", {"latency": 1}))
    serve(quick.history, 2, 2000)
    for one in everyone[:2]:
        quick.loads.put(one.peer, load(0, latency_ms=1 + one.peer[-1] % 2), NOW)
    totals = {one.candidate.peer: one.total for one in quick.explain(everyone[:2]).ranked}
    assert totals[peer(1)] == 1
    assert totals[peer(2)] < 0.01


def test_what_was_given_up_took_at_least_so_long() -> None:
    """RTE-10."""
    history = History()
    for number, after in enumerate((400, 100, 800), 1):
        history.on_order(job(number), peer(1), NOW)
        history.on_lost(job(number), UnixMs(NOW + after))
    past = history.get(peer(1))
    assert past is not None
    assert past.first_ms == 400 + SMOOTHING * (800 - 400)
    history.on_text(job(3), UnixMs(NOW + 900))
    history.on_lost(job(3), UnixMs(NOW + 9_000))
    history.on_lost(job(9), UnixMs(NOW + 9_000))
    assert past.first_ms == 500 + SMOOTHING * (900 - 500)
