from dataclasses import dataclass, field

import msgspec
import pytest

from p2p_modelex.errors import SimulationError
from p2p_modelex.simulation.kernel import Kernel
from p2p_modelex.simulation.randomness import open_stream
from p2p_modelex.simulation.results.spread import Spread


class Note(msgspec.Struct, frozen=True):
    text: str


@dataclass
class Listener:
    number: int
    kernel: Kernel
    heard: list[tuple[int, str]] = field(default_factory=list)

    def receive(self, event: Note) -> None:
        self.heard.append((self.kernel.now, event.text))
        if event.text == "again":
            self.kernel.at(self.kernel.now - 5, self, Note("late"))


def test_events_come_in_the_order_of_their_times_and_then_of_asking() -> None:
    kernel = Kernel()
    listener = Listener(1, kernel)
    for at, text in ((20, "c"), (10, "a"), (10, "b")):
        kernel.at(at, listener, Note(text))
    kernel.run(15)
    assert listener.heard == [(10, "a"), (10, "b")]
    assert (kernel.now, kernel.pending) == (15, 1)
    kernel.run(20)
    assert listener.heard[-1] == (20, "c")


def test_what_is_asked_for_in_the_past_comes_now() -> None:
    kernel = Kernel()
    listener = Listener(1, kernel)
    kernel.at(10, listener, Note("again"))
    kernel.run(10)
    assert listener.heard == [(10, "again"), (10, "late")]


def test_the_digest_tells_times_targets_and_contents_apart() -> None:
    def digest(number: int, at: int, text: str) -> str:
        kernel = Kernel()
        kernel.at(at, Listener(number, kernel), Note(text))
        kernel.run(100)
        return kernel.trace.compute_digest()

    assert digest(1, 2, "a") == digest(1, 2, "a")
    others = {digest(1, 2, "a"), digest(2, 2, "a"), digest(1, 3, "a"), digest(1, 2, "b")}
    assert len(others) == 4


def test_a_runaway_ends() -> None:
    kernel = Kernel(pending_max=2)
    listener = Listener(1, kernel)
    kernel.at(1, listener, Note("a"))
    kernel.at(2, listener, Note("b"))
    with pytest.raises(SimulationError, match="over 2 events wait"):
        kernel.at(3, listener, Note("c"))


def test_streams_of_random_numbers_do_not_touch_each_other() -> None:
    one, again = open_stream(1, "links", 3), open_stream(1, "links", 3)
    assert [one.random() for _ in range(3)] == [again.random() for _ in range(3)]
    first = {open_stream(*names).random() for names in ((1, "a", 1), (1, "a", 2), (2, "a", 1))}
    assert len(first) == 3


def test_a_spread_tells_percentiles_within_a_sixteenth_and_never_too_low() -> None:
    spread = Spread()
    for value in range(10_000):
        spread.add(value)
    for share in (0.01, 0.5, 0.9, 0.99, 1.0):
        exact = share * 10_000 - 1
        assert exact <= spread.get_percentile(share) <= max(exact * 17 / 16 + 1, 16)
    assert spread.most == 9_999
    assert spread.mean == 4_999.5
    assert Spread().get_percentile(0.5) == 0
