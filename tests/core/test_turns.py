"""Turns by tokens: everybody gets as much in the long run, and what was had elsewhere counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_modelex.core import turns as turns_module
from p2p_modelex.core.turns import DEBT_MAX, QUANTUM, Turns


def test_an_owner_that_leaves_keeps_no_claim_but_its_debt() -> None:
    turns: Turns[str] = Turns()
    assert turns.choose({"a": 1, "b": QUANTUM}) == "a"
    turns.leave("a")
    turns.leave("a")
    # What was left of a's quantum is gone: b goes first, though what it has does not fade.
    turns.fade()
    assert turns.choose({"b": QUANTUM, "a": QUANTUM}) == "b"
    turns.charge("a", QUANTUM)
    turns.leave("a")
    assert [turns.choose({"a": QUANTUM, "b": QUANTUM}) for _ in range(4)] == ["b", "b", "a", "b"]


def test_what_is_held_against_anybody_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: Turns[str] = Turns()
    turns.charge("a", 10**9)
    rounds = DEBT_MAX // QUANTUM
    order = [turns.choose({"a": QUANTUM, "b": QUANTUM}) for _ in range(rounds + 2)]
    assert order == ["b"] * rounds + ["a", "b"]
    monkeypatch.setattr(turns_module, "OWNERS_MAX", 4)
    for owner in "xyz":
        turns.charge(owner, QUANTUM)
    assert turns.choose({"x": 1, "new": QUANTUM}) == "x", "forgotten"
    assert turns.choose({"y": 1, "new": QUANTUM}) == "new"


def test_who_had_nothing_elsewhere_is_none_to_be_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """What members tell may be of no tokens."""
    monkeypatch.setattr(turns_module, "OWNERS_MAX", 2)
    turns: Turns[str] = Turns()
    for owner in "abcd":
        turns.charge(owner, 0)
    assert len(turns._deficits) <= 2


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 5_000)), min_size=1, max_size=60))
def test_who_always_has_jobs_waiting_gets_as_much_as_others(jobs: list[tuple[str, int]]) -> None:
    """The bound of the paper: nobody is ever ahead by more than a quantum and the largest job."""
    turns: Turns[str] = Turns()
    queues = {owner: [cost for one, cost in jobs if one == owner] for owner in "abc"}
    queues = {owner: costs for owner, costs in queues.items() if costs}
    got = dict.fromkeys(queues, 0)
    while all(queues.values()):
        chosen = turns.choose({owner: costs[0] for owner, costs in queues.items()})
        got[chosen] += queues[chosen].pop(0)
        assert max(got.values()) - min(got.values()) <= QUANTUM + 2 * 5_000
