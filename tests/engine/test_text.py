from hypothesis import given
from hypothesis import strategies as st

from p2p_modelex.engine.text import TextStream


@given(st.text(), st.lists(st.text(min_size=1, max_size=4), max_size=3), st.integers(1, 5))
def test_any_split_gives_the_text_up_to_the_first_stop(
    text: str, stops: list[str], size: int
) -> None:
    raw = text.encode()
    stream = TextStream(tuple(stops))
    shown = ""
    for start in range(0, len(raw), size):
        shown += stream.feed(raw[start : start + size])
        if stream.stopped:
            break
    shown += stream.finish()
    # Fed whole, the earliest stop wins; fed in parts, the first to be complete does.
    ends = [text.index(stop) for stop in stops if stop in text]
    assert stream.stopped == bool(ends)
    assert text.startswith(shown)
    assert shown == text if not ends else any(text[len(shown) :].startswith(s) for s in stops)


def test_half_a_character_becomes_a_replacement() -> None:
    stream = TextStream(())
    assert stream.feed("é".encode()[:1]) == ""
    assert stream.finish() == "\ufffd"


def test_what_might_be_a_stop_is_held_back() -> None:
    stream = TextStream(("END",))
    assert stream.feed(b"a E") == "a "
    assert stream.feed(b"N") == ""
    assert stream.feed(b"x") == "ENx"
    assert stream.feed(b"EN") == ""
    assert stream.finish() == "EN"
