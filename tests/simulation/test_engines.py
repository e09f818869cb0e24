"""Engines as a model: steps, memory, prefixes, and the machine that engines share."""

import random
from itertools import pairwise

import msgspec
import pytest

from p2p_modelex.core import inputs as inp
from p2p_modelex.core.prefixes import compute_turns
from p2p_modelex.ids import JobId
from p2p_modelex.records.job import Message, Request
from p2p_modelex.records.receipt import Finish
from p2p_modelex.simulation.models.compute import EngineModel
from p2p_modelex.simulation.models.host import Host, Tally
from p2p_modelex.simulation.models.keys_and_values import BLOCK, Memory
from p2p_modelex.simulation.models.pace import DEVICES, SIZES, Step, build_pace
from p2p_modelex.simulation.run import Simulation
from p2p_modelex.simulation.scenario.quantities import Duration
from p2p_modelex.simulation.scenario.settings import Engine
from tests.simulation.worlds import MARKET, build, play

S = 1_000_000


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

    def __init__(self, host: Host | None = None, **settings: object) -> None:
        self.said: list[tuple[int, inp.Input]] = []
        self.ticks: list[int] = []
        self.tally = Tally()
        self.engine = EngineModel(
            Engine(**settings),  # type: ignore[arg-type]
            host or Host(1, self.tally, lambda: 0.0),
            random.Random(1),
            lambda answer, at: self.said.append((at, answer)),
            self.ticks.append,
        )

    def ask(self, number: int, asked: Request, now: int = 0) -> JobId:
        job = JobId(bytes([number]) * 16)
        self.engine.generate(job, asked, now)
        return job

    def run(self) -> None:
        while self.ticks:
            self.engine.step(self.ticks.pop(0))

    def of(self, kind: type) -> list[tuple[int, inp.Input]]:
        return [(at, one) for at, one in self.said if isinstance(one, kind)]

    def find_firsts(self) -> dict[JobId, int]:
        """When each job had its first token."""
        firsts: dict[JobId, int] = {}
        for at, one in self.said:
            if isinstance(one, inp.EngineProduced):
                firsts.setdefault(one.job, at)
        return firsts


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


def test_a_prompt_is_read_in_chunks_while_others_go_on() -> None:
    """Without chunks whoever decodes waits for the whole of another's prompt."""
    longest = {}
    for chunk in (None, 100):
        bench = Bench(decode=100.0, prefill=1000.0, batching=0.0, chunk=chunk)
        first = bench.ask(1, request(seed=30, words=1))
        bench.engine.step(bench.ticks.pop(0))
        bench.ask(2, request(seed=1, words=998))
        bench.run()
        times = [at for at, one in bench.of(inp.EngineProduced) if one.job == first]  # type: ignore[union-attr]
        longest[chunk] = max(later - before for before, later in pairwise(times))
    assert longest == {None: 1_010_000, 100: 110_000}


def test_who_lacks_memory_waits_and_the_latest_gives_way() -> None:
    bench = Bench(decode=10.0, prefill=1e6, batching=0.0, kv=6 * BLOCK, cache=False)
    for number in range(3):
        bench.ask(number, request(seed=40, words=14))  # 56 tokens at the end: four blocks
    bench.run()
    assert bench.tally.preempted >= 1
    finished = [one for _, one in bench.of(inp.EngineFinished)]
    assert [one.completion_tokens for one in finished] == [40, 40, 40]  # type: ignore[union-attr]
    assert len(bench.of(inp.EngineStarted)) == 3  # who begins anew has begun before
    whole = request(seed=100, words=1)
    bench.ask(9, whole)
    assert [one.code for _, one in bench.of(inp.EngineFailed)] == ["prompt_too_long"]  # type: ignore[union-attr]


def go_on(asked: Request, bench: Bench, words: int) -> Request:
    """The next turn of a conversation."""
    answer = "".join(one.text for _, one in bench.of(inp.EngineProduced))  # type: ignore[union-attr]
    added = (Message("assistant", answer), Message("user", "word " * words))
    return msgspec.structs.replace(asked, messages=(*asked.messages, *added))


def test_a_conversation_is_read_once() -> None:
    bench = Bench(decode=10.0, prefill=1000.0)
    first = request(seed=50, words=200)
    bench.ask(1, first)
    bench.run()
    second = go_on(first, bench, 30)
    bench.ask(2, second, 100 * S)
    bench.run()
    ends = [one for _, one in bench.of(inp.EngineFinished)]
    cached = [one.cached_tokens for one in ends]  # type: ignore[union-attr]
    # 202 of the prompt and 50 of the answer, in whole blocks; 34 are new.
    assert cached == [0, 240]
    assert bench.find_firsts()[JobId(b"\2" * 16)] < 100 * S + 100_000 + 60_000
    assert bench.tally.prompt_tokens == 202 + ends[1].prompt_tokens - 240  # type: ignore[union-attr]


def test_without_a_cache_it_is_read_again() -> None:
    bench = Bench(cache=False)
    for number in range(2):
        bench.ask(number, request(words=200))
        bench.run()
    assert bench.tally.prompt_tokens == 404


def test_of_what_is_kept_the_oldest_end_goes_first() -> None:
    memory = Memory(8 * BLOCK)
    chats = [request(words=64), request(words=65)]
    names = []
    for chat in chats:
        longer = msgspec.structs.replace(chat, messages=(*chat.messages, Message("user", "more")))
        end, begin = compute_turns(longer)
        names.append((begin.digest, end.digest))
        assert memory.take(4)
        assert memory.keep(begin.digest, 2 * BLOCK, None) == (2, 2 * BLOCK)
        assert memory.keep(end.digest, 4 * BLOCK, begin.digest) == (2, 4 * BLOCK)
    assert not memory.take(1)  # both run
    memory.unpin(names[0][1])
    memory.unpin(names[1][1])
    assert memory.take(2)  # the end of the first goes, its beginning stays
    turns = compute_turns(chats[0])
    assert memory.find(turns) == (names[0][0], 2 * BLOCK)
    memory.pin(names[0][0])
    assert memory.take(4)  # all of the second
    assert not memory.take(1)
    assert memory.find(compute_turns(chats[1])) == (None, 0)


def test_what_two_read_at_once_is_kept_once() -> None:
    bench = Bench(decode=10.0, prefill=1000.0, kv=20 * BLOCK)
    for number in range(2):
        bench.ask(number, request(seed=5, words=60))
    bench.run()
    assert len(bench.of(inp.EngineFinished)) == 2
    assert bench.engine._memory.take(20)  # all is free again, but for what may go


def test_models_that_do_not_fit_together_make_room_for_each_other() -> None:
    tally = Tally()
    host = Host(1, tally, lambda: 0.0)
    settings = {"decode": 10.0, "prefill": 1e9, "cold_start": Duration(5 * S)}
    one, other = (Bench(host, model=name, **settings) for name in ("one", "other"))
    one.ask(1, request(seed=2))
    other.ask(1, request(seed=1))
    assert (len(one.ticks), len(other.ticks)) == (1, 0)
    one.run()
    assert other.ticks == [one.of(inp.EngineFinished)[0][0] + 5 * S + 100_000]
    other.run()
    assert tally.loads == 2
    one.ask(2, request(seed=1), 60 * S)
    assert one.ticks == [65 * S + 100_000]


def test_engines_that_work_at_once_and_antagonists_slow_each_other() -> None:
    host = Host(2, Tally(), lambda: 0.5)
    benches = [Bench(host, model=name, decode=10.0, prefill=1e9) for name in ("one", "other")]
    for bench in benches:
        bench.ask(1, request(seed=1))
    assert [bench.ticks for bench in benches] == [[200_000], [400_000]]


def test_a_crash_takes_all_that_the_engine_has() -> None:
    bench = Bench(
        crash=1.0, cold_start=Duration(S), decode=10.0, prefill=1e9, slots=2, batching=0.0
    )
    for number in range(3):
        bench.ask(number, request(seed=2 + number))
    bench.run()
    assert [one.code for _, one in bench.of(inp.EngineFailed)] == ["engine"] * 3  # type: ignore[union-attr]
    bench.ask(4, request(seed=1), 10 * S)
    assert bench.ticks == [11 * S + 100_000]


@pytest.mark.parametrize("size", SIZES)
def test_decoding_is_bound_by_memory_and_prompts_by_arithmetic(size: str) -> None:
    device = DEVICES["h100"]
    pace = build_pace(Engine(device="h100", size=size))
    alone = pace.compute_s(Step(1, 1, 0, 0, 0))
    of_eight = pace.compute_s(Step(8, 8, 0, 0, 0))
    assert alone >= SIZES[size].weights / device.bandwidth
    assert of_eight < 1.5 * alone
    prompt = pace.compute_s(Step(1, 0, 0, 8192, 0))
    assert prompt > 2 * SIZES[size].parameters * 8192 / device.flops
    assert pace.compute_s(Step(1, 0, 0, 16384, 0)) > 1.7 * prompt


def test_an_antagonist_has_its_share_for_its_time() -> None:
    fault = (
        '[[fault]]\nkind = "antagonist"\nat = "20 s"\nlasts = "30 s"\nshare = 1.0\ntakes = 0.9\n'
    )
    with Simulation(build(MARKET + fault + 'population = "sellers"\n')) as run:
        taken = {}
        for at in (10, 30, 60):
            run.advance(at * S)
            taken[at] = {machine.taken for machine in run.world.machines}
    assert taken == {10: {0.0}, 30: {0.0, 0.9}, 60: {0.0}}


def test_a_node_sells_several_models() -> None:
    also = 'also = [{ model = "other" }]\nresident = 1\n'
    world = MARKET.replace("engine = {}\n", "engine = {}\n" + also)
    other = '[[workload]]\npopulation = "buyers"\nevery = "9 s"\nmodel = "other"\n'
    assert play(world + other).measures["finished_share"] == 1.0


def test_a_crowd_has_gone_by_when_no_more_than_usual_are_in_hand() -> None:
    with Simulation(build(MARKET)) as run:
        measures = run.measures
        measures.sample()
        like = measures.samples[0]
        counts = (2, 2, 5, 90, 40, 14, 4, 4, 5, 0, 0)
        measures.samples = [
            msgspec.structs.replace(like, at_s=float(at), running=running)
            for at, running in enumerate(counts)
        ]
        assert measures.find_calm() == 6.0
        measures.samples = measures.samples[:5]
        assert measures.find_calm() is None
