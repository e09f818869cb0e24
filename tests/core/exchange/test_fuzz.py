"""Any bytes into either end give effects, or a reset and a penalty; never an exception."""

from hypothesis import given as given_
from hypothesis import settings
from hypothesis import strategies as st

from p2p_modelex.core import inputs as given
from p2p_modelex.records import codec
from tests.core.exchange.cases import SAMPLES
from tests.core.exchange.pair import P_STREAM, R_STREAM, Pair

FRAMES = [codec.encode(sample) for sample in SAMPLES]


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """Noise, a message, or a message with some bytes changed."""
    base = draw(st.one_of(st.binary(max_size=64), st.sampled_from(FRAMES)))
    edits = draw(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=3))
    changed = bytearray(base)
    for place, value in edits:
        if place < len(changed):
            changed[place] = value
    return bytes(changed)


@settings(max_examples=150)
@given_(st.lists(frames(), max_size=6), st.booleans())
def test_any_bytes(sent: list[bytes], is_begun: bool) -> None:
    pair = Pair()
    if is_begun:
        pair.begin()
    else:
        pair.start()
    for frame in sent:
        pair.to_provider(given.FrameReceived(P_STREAM, frame))
        pair.to_requester(given.FrameReceived(R_STREAM, frame))
    for side, end in ((pair.p, pair.provider), (pair.r, pair.requester)):
        if any(penalty.offence == "protocol" for penalty in side.penalties):
            assert end.is_over
