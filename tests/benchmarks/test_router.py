"""The arithmetic of the routers' benchmark: what it reads, adds up, repeats and marks."""

from dataclasses import replace

import msgspec
import pytest
import trio

from benchmarks.load import Timed, ask, build_chat, build_request
from benchmarks.router import balancing, conversations
from benchmarks.router.install import Missing, find_packages
from benchmarks.router.machine import OTHERS_MAX, Spent, grow_tree
from benchmarks.router.overhead import Row
from benchmarks.router.profiled import OTHER, share_by_layer
from benchmarks.router.rows import measure_each
from benchmarks.router.tables import (
    show_balance,
    show_conversations,
    show_overhead,
    show_targets,
)
from benchmarks.router.trials import Ceiling, Latency, Streams, measure_quietly, read_wrk
from benchmarks.router.worker import Plan, PrefixCache, Worker, make_answer

QUIET, BUSY = Spent(1.0, (), 0.0), Spent(1.0, (), OTHERS_MAX * 5)
WRK = """Running 2s test @ http://127.0.0.1:1/
  1 threads and 32 connections
  15872 requests in 2.10s, 5.48MB read
  Non-2xx or 3xx responses: 12
Requests/sec:   7558.10
Transfer/sec:      2.61MB
"""


def test_what_wrk_says_is_read() -> None:
    assert read_wrk(WRK) == (15872, 7558.10, 12)
    assert read_wrk(WRK.replace("  Non-2xx or 3xx responses: 12\n", "")) == (15872, 7558.10, 0)
    with pytest.raises(Missing, match="unable to connect"):
        read_wrk("unable to connect to 127.0.0.1:1")


def test_what_debian_would_install_is_read() -> None:
    planned = "Inst liblua5.3-0 (5.3.6-2 Debian)\nInst haproxy (2.6 Debian)\nConf haproxy (2.6)\n"
    assert find_packages(planned) == ["liblua5.3-0", "haproxy"]


def test_a_tree_of_processes_has_all_below_its_root_and_nobody_else() -> None:
    pairs = [(9, 4), (4, 2), (3, 2), (2, 1), (5, 1), (7, 5)]
    assert sorted(grow_tree(2, pairs)) == [2, 3, 4, 9]
    assert grow_tree(8, pairs) == [8]


def test_samples_add_up_by_layer() -> None:
    shares = share_by_layer({"node/gateway/http": 4, "node/driver": 1, "Trio": 3, "kept": 2})
    assert shares == {"HTTP in": 0.4, OTHER: 0.3, "HTTP out": 0.2, "driver": 0.1}


async def test_a_busy_machine_is_measured_again_and_the_quietest_counts() -> None:
    seen = [replace(BUSY, others=0.9), replace(BUSY, others=0.4), QUIET]
    spreads = [balancing.Spread(at, 0, 0, 0, spent) for at, spent in enumerate(seen)]

    async def measure_next() -> balancing.Spread:
        await trio.lowlevel.checkpoint()
        return left.pop(0)

    left = list(spreads)
    assert await measure_quietly(measure_next, tries=2) is spreads[1]
    left = list(reversed(spreads))
    assert await measure_quietly(measure_next, tries=2) is spreads[2]
    assert len(left) == 2  # quiet at once: no second try


def test_rows_of_a_busy_machine_say_so() -> None:
    row = {0.7: balancing.Spread(1, 2, 3, 0, QUIET), 0.85: balancing.Spread(4, 5, 6, 7, BUSY)}
    shown = show_balance({"ours": row})
    assert "| ours | 1 / 2 / 3 | 4 / 5 / 6, 7 lost **busy 0.5** |" in shown
    hits = conversations.Hits(100, 0.5, 20, 30, 0, BUSY)
    assert "| 50% | 20 / 30 **busy 0.5** |" in show_conversations({"ours": hits})


def test_the_gateway_is_held_to_its_targets() -> None:
    row = Row(
        "ours",
        100,
        Latency(p50_ms=2.5, p99_ms=8.0, cpu_us=1200, behind_us=0, lost=0, spent=QUIET),
        Ceiling(rate=1500, cpu_us=650, share=0.98, lost=0, spent=QUIET),
        Streams(first_ms=1, token_us=151, spent=BUSY),
        memory_mib=100,
    )
    shown = show_targets(row).split("; ")
    assert ["not met" in one for one in shown] == [False, False, True, False, True]
    assert shown[-1].endswith("The machine was **busy**.\n")
    assert "| 2.50 / 8.00 | 1,200 | 1,500 (98% of its core) | 650 |" in show_overhead({"ours": row})
    assert "0.00 / 0.00 / **0.5**" in show_overhead({"ours": row})


def test_arrivals_are_the_same_each_time_and_as_many_as_the_load_says() -> None:
    arrivals = balancing.build_arrivals(0.7, 20.0, 1.0)
    assert arrivals == balancing.build_arrivals(0.7, 20.0, 1.0)
    longer = balancing.build_arrivals(0.7, 20.0, 3.0)
    assert [at_s for at_s, _ in longer] == [3 * at_s for at_s, _ in arrivals]
    capacity = (6 * 4 + 2 * 4 / 3) / 0.1
    assert len(arrivals) / 20 == pytest.approx(0.7 * capacity, rel=0.05)


def test_stretched_times_are_reported_as_they_would_have_been() -> None:
    timed = [Timed(0.1, 0.3 * at, is_good=at != 9) for at in range(1, 10)]
    spread = balancing.summarise(timed, QUIET, 3.0)
    assert (spread.p50_ms, spread.p99_ms, spread.lost) == (500, 800, 1)
    with pytest.raises(Missing, match="nothing"):
        balancing.summarise(timed[-1:], QUIET, 1.0)


async def test_a_row_that_cannot_be_had_costs_only_itself() -> None:
    async def measure(name: str) -> int:
        async with trio.open_nursery():
            await trio.lowlevel.checkpoint()
            if name == "b":
                raise Missing("it did not start")
        return len(name)

    said: list[str] = []
    rows, reasons = await measure_each(["a", "b", "cc"], measure, said.append)
    assert rows == {"a": 1, "cc": 2}
    assert reasons == ["b: it did not start"]
    assert said == ["a", "b", "skipped: b: it did not start", "cc"]


def test_a_trace_is_the_same_each_time_and_shares_what_systems_say() -> None:
    trace = conversations.build_trace(30.0)
    assert trace == conversations.build_trace(30.0)
    assert len({one.system for one in trace}) == conversations.SYSTEMS
    assert len({one.turns[0][0] for one in trace}) == len(trace)
    assert max(len(one.turns) for one in trace) <= conversations.TURNS_MAX


def test_a_prefix_cache_counts_whole_blocks_of_the_beginning() -> None:
    cache = PrefixCache(64)
    words = [str(at) for at in range(40)]
    assert cache.count(words) == 0
    cache.keep(words)
    assert cache.count(words) == 32
    assert cache.count([*words, "more"]) == 32
    assert cache.count(["other", *words]) == 0
    assert cache.count([*words[:20], "other", *words[20:]]) == 16


def test_a_full_prefix_cache_forgets_ends_before_beginnings() -> None:
    cache = PrefixCache(64)
    old, new = [f"a{at}" for at in range(48)], [f"b{at}" for at in range(32)]
    cache.keep(old)
    cache.keep(new)
    assert cache.count(new) == 32
    assert cache.count(old) == 32  # its third block is gone


async def test_a_worker_has_slots_and_times_and_says_what_it_had_in_its_cache() -> None:
    plan = Plan(slots=1, slowness=2.0, first_ms=10.0, step_ms=5.0, cache_tokens=1024)
    worker = Worker(plan)
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    said = " ".join(f"w{at}" for at in range(20))
    turns = [("user", said), ("assistant", make_answer(3)), ("user", said)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, worker.serve, [listener])
        port = listener.socket.getsockname()[1]
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            began_s = trio.current_time()
            first = await ask(stream, build_request("m", tokens=3, is_stream=True, prompt=said))
            assert first.first_s - began_s >= 0.02
            assert first.ended_s - began_s >= 0.04
            again = build_chat("m", turns, tokens=3, is_stream=False)
            second = msgspec.json.decode((await ask(stream, again)).body)
            assert second["choices"][0]["message"]["content"] == make_answer(3)
            counted = second["usage"]
            assert (counted["prompt_tokens"], counted["completion_tokens"]) == (43, 3)
            assert counted["prompt_tokens_details"] == {"cached_tokens": 16}
            began_s = trio.current_time()
            brief = build_request("m", tokens=1, prompt="work=20")
            async with trio.open_nursery() as both:
                for _ in range(2):
                    both.start_soon(ask_alone, port, brief)
            assert trio.current_time() - began_s >= 2 * 0.004  # one after the other
        nursery.cancel_scope.cancel()
    assert (worker.prompt_tokens, worker.cached_tokens) == (20 + 43 + 2, 16)


async def ask_alone(port: int, request: bytes) -> None:
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        assert (await ask(stream, request)).status == 200
