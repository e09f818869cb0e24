"""What prompts have in common, who read it, and how much of it engines keep (RTE-50)."""

import msgspec
import pytest

from p2p_modelex.core import prefixes
from p2p_modelex.core.caching import JOBS_MAX, KEPT, UNMEASURED, Caching
from p2p_modelex.core.inputs import EngineFinished
from p2p_modelex.core.prefixes import TURNS_MAX, ReadBook, compute_turns
from p2p_modelex.ids import JobId
from p2p_modelex.records.job import Message, Request
from p2p_modelex.records.receipt import Finish
from tests.core.exchange.pair import CHAT, REQUEST, build_job


def talk(*contents: str, **changes: object) -> Request:
    messages = tuple(
        Message("assistant" if at % 2 else "user", said) for at, said in enumerate(contents)
    )
    return msgspec.structs.replace(CHAT, messages=messages, **changes)


def test_a_conversation_goes_on_from_what_was_read() -> None:
    first, later = compute_turns(talk("a" * 30)), compute_turns(talk("a" * 30, "b" * 20, "c" * 50))
    assert [turn.share for turn in later] == [1.0, 0.5, 0.3]
    assert later[-1].digest == first[0].digest
    book: ReadBook[str] = ReadBook()
    assert book.find(later) is None
    book.note(first, "x")
    assert book.find(later) == ("x", 0.3)
    book.note(compute_turns(talk("a" * 30, "b" * 20)), "y")
    assert book.find(later) == ("y", 0.5)
    assert book.find(first) == ("y", 1.0)


def test_what_makes_a_prompt_another_one() -> None:
    digests = {
        compute_turns(request)[0].digest
        for request in (
            talk("a", "b"),
            talk("ab"),
            talk("a", "b", model="other"),
            talk("a", "b", tools="{}"),
            REQUEST,
            msgspec.structs.replace(REQUEST, text="x"),
        )
    }
    assert len(digests) == 6
    assert [turn.share for turn in compute_turns(REQUEST)] == [1.0]


def test_turns_and_books_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    long = compute_turns(talk(*map(str, range(40))))
    assert len(long) == TURNS_MAX
    assert compute_turns(talk(*map(str, range(41))))[1].digest == long[0].digest
    monkeypatch.setattr(prefixes, "BOOK_MAX", 2)
    book: ReadBook[str] = ReadBook()
    for number in range(3):
        book.note(compute_turns(talk(str(number))), "x")
    assert [book.find(compute_turns(talk(str(number)))) is None for number in range(3)] == [
        True,
        False,
        False,
    ]


def run(caching: Caching, request: Request, *, tokens: int, cached: int, number: int = 1) -> int:
    job = build_job(number)
    caching.begin(job, request)
    caching.finish(EngineFinished(job, Finish.STOP, tokens, 5, cached))
    return caching.share


def test_what_engines_keep_is_measured() -> None:
    caching = Caching()
    assert run(caching, talk("a" * 30), tokens=100, cached=0) == UNMEASURED
    # Three quarters of the next prompt had been read, and two thirds of these were still there.
    assert run(caching, talk("a" * 30, "b" * 10), tokens=200, cached=100) == 6_667
    assert run(caching, talk("a" * 30, "b" * 10), tokens=200, cached=999) == 8_333
    # Too little of it to say anything; and a prompt that is new.
    assert run(caching, talk("a" * 30, "z" * 300), tokens=100, cached=0) == 8_333
    assert run(caching, talk("new"), tokens=100, cached=50) == 8_333
    for _ in range(KEPT):
        run(caching, talk("a" * 30), tokens=100, cached=25)
    assert caching.share == 2_500


def test_jobs_that_come_to_nothing_say_nothing() -> None:
    caching = Caching()
    caching.begin(build_job(1), talk("a" * 30))
    caching.drop(build_job(1))
    caching.finish(EngineFinished(build_job(1), Finish.STOP, 100, 5, 0))
    assert run(caching, talk("a" * 30), tokens=100, cached=0) == UNMEASURED
    for number in range(JOBS_MAX + 1):
        caching.begin(build_job(10 + number), talk("b" * 30))
    caching.finish(EngineFinished(JobId(build_job(10)), Finish.STOP, 100, 5, 100))
    assert run(caching, talk("b" * 30), tokens=100, cached=100) == UNMEASURED
