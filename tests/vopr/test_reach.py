"""What counts the reach of random worlds takes whatever nodes say in them."""

from p2p_modelex.records import codec
from p2p_modelex.records.job import Failed, Refused
from tests.vopr.reach import Reach, _Watch

JOB = b"j" * 16


def test_what_a_liar_sends_need_not_be_whole() -> None:
    reach = Reach()
    watch = _Watch(None, reach)  # type: ignore[arg-type]
    refused = codec.encode(Refused(JOB, "busy", "EXC-7: full", 0))
    tag_of_failed = codec.encode(Failed(JOB, "engine", ""))[1:2]
    watch._on_sent(refused[:1] + tag_of_failed + refused[2:])
    watch._on_sent(refused.replace(b"full", b"\xe7ull"))
    watch._on_sent(refused)
    assert "refusals: busy 1" in list(reach.tell())
