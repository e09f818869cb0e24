"""Whatever members answer, in whichever order: the promises of tests/fuzz/targets/mapping.py."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets.mapping import run


@settings(max_examples=300)
@given(st.binary(min_size=50, max_size=1_500))
def test_nothing_is_answered_twice_lost_or_too_dear(content: bytes) -> None:
    run(content)
