"""What a request needs of a provider."""

import msgspec

from p2p_modelex.core.inputs import RunRequested
from p2p_modelex.core.wants import build_want
from p2p_modelex.ids import JobId
from p2p_modelex.records.job import Message, Request
from p2p_modelex.units import Epoch, Wei
from tests.core.exchange.pair import REQUEST


def prefix_of(request: Request, **changes: str) -> bytes:
    most = Wei(1)
    wanted = RunRequested(JobId(bytes(16)), request, most, most, most, most, (), (), 1, True)
    return build_want(msgspec.structs.replace(wanted, **changes), Epoch(0)).prefix


def chat(*turns: str, system: str = "be brief") -> bytes:
    said = [Message("assistant" if at % 2 else "user", content) for at, content in enumerate(turns)]
    messages = (Message("system", system), *said)
    return prefix_of(msgspec.structs.replace(REQUEST, kind="chat", text="", messages=messages))


def test_a_conversation_keeps_its_point_as_it_grows() -> None:
    """RTE-15."""
    assert chat("hello") == chat("hello", "hi", "and now?")
    assert chat("hello") != chat("good morning")
    assert chat("hello") != chat("hello", system="be long")
    asked = [prefix_of(msgspec.structs.replace(REQUEST, text=text)) for text in ("a", "b")]
    assert len(set(asked)) == 2
    other = msgspec.structs.replace(REQUEST, text="a", model="other")
    assert prefix_of(other) not in asked


def test_a_conversation_may_have_a_name() -> None:
    """RTE-15."""
    one, two = (msgspec.structs.replace(REQUEST, text=text) for text in ("a", "b"))
    assert prefix_of(one, conversation="x") == prefix_of(two, conversation="x")
    assert len({prefix_of(one, conversation=name) for name in ("", "x", "y")}) == 3


def test_a_family_is_asked_for_by_its_name() -> None:
    """RTE-1."""
    most = Wei(1)
    request = msgspec.structs.replace(REQUEST, model="family:SmolLM2")
    wanted = RunRequested(JobId(bytes(16)), request, most, most, most, most, (), (), 1, True)
    want = build_want(wanted, Epoch(0))
    assert (want.model, want.family) == (None, "smollm2")
