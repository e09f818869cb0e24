"""Log probabilities from the engine to the wire (EXC-21)."""

import msgspec

from p2p_modelex.records.job import Chunk, Failed, Pay
from p2p_modelex.units import UnixMs
from tests.core.exchange.cases import JOB, build_voucher, tell
from tests.core.exchange.counter import Counter
from tests.core.exchange.pair import OFFER, build_seller

TELLING_OFFER = msgspec.structs.replace(OFFER, features=("logprobs",))


def test_logprobs_go_out_with_the_tokens_they_are_of() -> None:
    """EXC-21: as the window lets them out, and never of more tokens than are billed."""
    counter = Counter(seller=build_seller(TELLING_OFFER))
    counter.start_telling()
    told = tuple(tell(b"%d" % number) for number in range(100))
    counter.produce("twenty", 20, *told[:20])
    assert counter.received() == [Chunk(JOB, 0, "", 7, told[:7])]
    counter.send(Pay(JOB, build_voucher(640)))
    assert counter.received() == [Chunk(JOB, 1, "twenty", 20, told[7:20])]
    counter.produce("one", 1, *told[20:22])
    counter.produce("forty", 43, *told[22:65])
    counter.produce("more", 30, *told[65:95])
    counter.fire(counter.p, "chunk")
    chunks = counter.received()
    assert [chunk.text for chunk in chunks] == ["onefortymore"]  # type: ignore[union-attr]
    assert chunks[0].logprobs == told[20:21] + told[22:65]  # type: ignore[union-attr]


def test_many_logprobs_are_told_in_parts() -> None:
    """EXC-21: a chunk holds those of CHUNK_LOGPROBS_MAX tokens."""
    counter = Counter(seller=build_seller(TELLING_OFFER))
    counter.start_telling(max_tokens=300, max_cost=10_000)
    counter.send(Pay(JOB, build_voucher(3010)))
    told = tuple(tell(b"%d" % number) for number in range(150))
    counter.produce("many", 150, *told)
    chunks = counter.received()
    assert [len(one.logprobs) for one in chunks] == [64, 64, 22]  # type: ignore[union-attr]
    assert [one.tokens for one in chunks] == [64, 128, 150]  # type: ignore[union-attr]
    assert [one.text for one in chunks] == ["", "", "many"]  # type: ignore[union-attr]
    counter.now = UnixMs(counter.now + 10)
    for number in range(40):
        counter.produce("x", 1, tell(b"%d" % number), tell(b"more"))
    counter.produce("y", 30, *told[:30])
    counter.fire(counter.p, "chunk")
    assert [len(one.logprobs) for one in counter.received()] == [40, 30]  # type: ignore[union-attr]


def test_logprobs_that_nobody_asked_for_stay_here() -> None:
    """EXC-21."""
    counter = Counter()
    counter.run()
    counter.produce("a", 1, tell(b"a"))
    assert counter.received() == [Chunk(JOB, 0, "a", 1, ())]


def test_an_engine_that_tells_no_logprobs_fails_its_job() -> None:
    """EXC-21: rather than the requester take us for a liar."""
    for tokens in (1, 101):
        counter = Counter(seller=build_seller(TELLING_OFFER))
        counter.start_telling(max_tokens=200, max_cost=5_000)
        counter.produce("x" * tokens, tokens)
        if tokens == 1:
            counter.finish(1)
        failed = counter.received()[-1]
        assert isinstance(failed, Failed)
        assert (failed.code, failed.reason) == ("engine", "EXC-21: no logprobs")
