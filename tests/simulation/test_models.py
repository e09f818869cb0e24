"""The models around the cores: links and engines; test_gossip.py has gossip."""

import random
from itertools import pairwise

from p2p_modelex.core import inputs as inp
from p2p_modelex.ids import ChannelId, JobId, PeerId, PublicKey
from p2p_modelex.records.envelope import Envelope
from p2p_modelex.records.job import Message, Request
from p2p_modelex.records.receipt import Finish
from p2p_modelex.records.rows import LoanRow, MemberRow, MembershipRow, SettingRow
from p2p_modelex.simulation.models.compute import EngineModel
from p2p_modelex.simulation.models.links import Cut, LinkModel, Place
from p2p_modelex.simulation.nodes.disk import Disk
from p2p_modelex.simulation.scenario.quantities import ByteRate, Duration
from p2p_modelex.simulation.scenario.settings import Engine, Links
from p2p_modelex.units import Wei

S = 1_000_000


def place(region: str = "london", rate: int = 125_000_000) -> Place:
    return Place(region, ByteRate(rate), ByteRate(rate), False, random.Random(1))


def test_latency_is_half_of_the_published_round_trip_and_bandwidth_adds_to_it() -> None:
    links = LinkModel(Links(jitter=0.0))
    near = links.compute_arrival(place("london"), place("frankfurt"), 0, 0)
    far = links.compute_arrival(place("london"), place("sydney"), 0, 0)
    assert 6_500 <= near < 6_510
    assert 130_500 <= far < 130_510
    slow = links.compute_arrival(place(rate=125_000), place(rate=125_000), 125_000 - 80, 0)
    assert 2 * S + 1000 <= slow < 2 * S + 1010


def test_what_is_sent_together_shares_the_link() -> None:
    links, sender = LinkModel(Links(jitter=0.0)), place(rate=1_000_000)
    arrivals = [links.compute_arrival(sender, place(), 99_920, 0) for _ in range(3)]
    assert [later - before for before, later in pairwise(arrivals)] == [
        100_000,
        100_000,
    ]


def test_a_loss_is_a_delay() -> None:
    links, sender = LinkModel(Links(jitter=0.0, loss=0.3)), place()
    delays = [links.compute_arrival(sender, place(), 10, at) - at for at in range(0, S, 1000)]
    late = sum(delay > 200_000 for delay in delays)
    assert 0.25 < late / len(delays) < 0.35


def test_a_cut_blocks_what_crosses_it() -> None:
    links = LinkModel(Links())
    links.cuts.append(Cut(100, frozenset({1}), is_symmetric=False))
    assert [links.find_heal(*pair, 50) for pair in ((1, 2), (2, 1), (2, 3))] == [100, 0, 0]
    assert links.find_heal(1, 2, 100) == 0


def request(seed: int = 10, words: int = 5, max_tokens: int = 100) -> Request:
    return Request(
        model="tiny",
        weights=bytes(32),
        kind="chat",
        text="",
        messages=(Message("user", "word " * words),),
        max_tokens=max_tokens,
        temperature=0.0,
        top_p=1.0,
        top_k=0,
        seed=seed,
        stop=(),
        grammar="",
        logprobs=0,
        tools="",
    )


class Bench:
    """An engine and what it said when."""

    def __init__(self, **settings: object) -> None:
        self.said: list[tuple[int, inp.Input]] = []
        self.ticks: list[int] = []
        self.engine = EngineModel(
            Engine(**settings),  # type: ignore[arg-type]
            random.Random(1),
            lambda answer, at: self.said.append((at, answer)),
            self.ticks.append,
        )

    def run(self) -> None:
        while self.ticks:
            self.engine.step(self.ticks.pop(0))

    def of(self, kind: type) -> list[tuple[int, inp.Input]]:
        return [(at, one) for at, one in self.said if isinstance(one, kind)]


def test_a_request_takes_its_prefill_and_a_step_a_token() -> None:
    bench = Bench(decode=10.0, prefill=100.0)
    bench.engine.generate(JobId(b"j" * 16), request(seed=4, words=18), 0)
    bench.run()
    times = [at for at, _ in bench.of(inp.EngineProduced)]
    assert times == [300_000, 400_000, 500_000, 600_000]
    assert bench.of(inp.EngineFinished)[0][1] == inp.EngineFinished(
        JobId(b"j" * 16), Finish.STOP, 20, 4
    )


def test_requests_of_a_batch_slow_each_other_down_and_others_wait() -> None:
    bench = Bench(decode=10.0, prefill=1e6, batching=0.5, slots=2, waiting=1)
    for number in range(4):
        bench.engine.generate(JobId(bytes([number]) * 16), request(seed=2, words=1), 0)
    bench.run()
    assert [one.code for _, one in bench.of(inp.EngineFailed)] == ["busy"]  # type: ignore[union-attr]
    ends = [at for at, _ in bench.of(inp.EngineFinished)]
    # The first runs one step alone, then with the second: 0.1 s, and 0.15 s for each step of two.
    assert len(ends) == 3
    assert ends[0] < ends[1] < ends[2]


def test_a_cold_engine_loads_first_and_a_stopped_run_is_cancelled() -> None:
    bench = Bench(cold_start=Duration(5 * S))
    job = JobId(b"j" * 16)
    bench.engine.generate(job, request(), 0)
    assert bench.ticks[0] > 5 * S
    bench.engine.stop(job, S)
    assert bench.of(inp.EngineFinished) == [(S, inp.EngineFinished(job, Finish.CANCELLED, 7, 0))]


def test_a_core_is_restored_from_all_that_a_node_is() -> None:
    """Of each kind of row that is kept for a restart; advertisements are read apart from these."""
    disk = Disk(b"s" * 32, keeps_records=False)
    channel, peer = ChannelId(b"c" * 32), PeerId(b"p" * 38)
    disk.apply(
        [
            MemberRow(channel, 1, peer),
            LoanRow(channel, peer, Wei(1), Wei(0), 0),
            MembershipRow(PublicKey(b"f" * 32), 1, Envelope(b"f" * 32, b"", b"s" * 64)),
        ]
    )
    assert {type(row) for row in disk.read()} == {MemberRow, LoanRow, MembershipRow, SettingRow}
