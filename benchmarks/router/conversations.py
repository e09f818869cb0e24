"""Whether conversations find their provider's cache: hit ratio and time to the first token.

A trace of conversations, the same each time: some share what the system says, each brings a text
of its own, and each turn repeats all before it. Workers keep a prefix cache and take time for each
token that is not in it.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import trio

from benchmarks.load import HungUp, ask, build_chat, connect
from benchmarks.measuring import percentile
from benchmarks.mesh import open_ground
from benchmarks.router.balancing import SLOTS
from benchmarks.router.install import Missing
from benchmarks.router.machine import Spent, Watch
from benchmarks.router.mesh import run_mesh, serve_upstream
from benchmarks.router.peers import CACHE_AWARE, Peer
from benchmarks.router.rows import Say, measure_each
from benchmarks.router.servers import Bench, run_peer, run_workers
from benchmarks.router.static import TIMED
from benchmarks.router.worker import Plan, make_answer

WORKERS = 8
PLAN = Plan(slots=SLOTS, first_ms=5.0, step_ms=5.0, ms_per_token=0.4, cache_tokens=8192)
STARTS_PER_S = 4.0
SYSTEMS, SYSTEM_TOKENS = 4, 200
TEXT_TOKENS, TURN_TOKENS, ANSWER_TOKENS = 300, 40, 40
MORE_TURNS = 0.8
TURNS_MAX = 10
THINK_S = 1.5
SEED = 11
OURS = {"our mesh, profile `default`": "default", "our mesh, profile `sticky`": "sticky"}
NAMES = (*(peer.name for peer in CACHE_AWARE), *OURS)
_WORDS = 4096


@dataclass(frozen=True, slots=True)
class Conversation:
    """starts_s: from the trace's start. turns: what the user says, and the seconds of thought that
    come before.
    """

    starts_s: float
    system: str
    turns: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Hits:
    """hit_ratio: of the prompts' tokens, those found in a cache. p50_ms, p95_ms: to the first
    token, from when a turn was due.
    """

    turns: int
    hit_ratio: float
    p50_ms: float
    p95_ms: float
    lost: int
    spent: Spent


def build_trace(seconds: float) -> list[Conversation]:
    """Return the conversations that start in so many seconds."""
    rng = random.Random(SEED)  # noqa: S311
    systems = [_say(rng, SYSTEM_TOKENS) for _ in range(SYSTEMS)]
    starts_s, trace = rng.expovariate(STARTS_PER_S), []
    while starts_s < seconds:
        turns = [(_say(rng, TEXT_TOKENS), 0.0)]
        while len(turns) < TURNS_MAX and rng.random() < MORE_TURNS:
            turns.append((_say(rng, TURN_TOKENS), rng.expovariate(1 / THINK_S)))
        trace.append(Conversation(starts_s, rng.choice(systems), tuple(turns)))
        starts_s += rng.expovariate(STARTS_PER_S)
    return trace


def _say(rng: random.Random, tokens: int) -> str:
    return " ".join(f"w{rng.randrange(_WORDS)}" for _ in range(tokens))


async def measure_all(
    bench: Bench, seconds: float, names: Sequence[str], say: Say
) -> tuple[dict[str, Hits], list[str]]:
    """Run the trace through every policy named; returns the rows and why others are missing."""
    peers = {peer.name: peer for peer in CACHE_AWARE}

    async def measure(name: str) -> Hits:
        async with run_workers(bench, [PLAN] * WORKERS) as ports:
            if name in peers:
                return await _run_peer(bench, peers[name], ports, seconds)
            return await _run_ours(bench, OURS[name], ports, seconds)

    return await measure_each(names, measure, say)


async def _run_peer(bench: Bench, peer: Peer, workers: Sequence[int], seconds: float) -> Hits:
    async with run_peer(bench, peer, workers, _build_turn([("user", "hello")])) as (_, port):
        return await _run_trace(port, workers, seconds)


async def _run_ours(bench: Bench, profile: str, workers: Sequence[int], seconds: float) -> Hits:
    shops = [[serve_upstream(TIMED, port, slots=SLOTS)] for port in workers]
    async with (
        open_ground() as ground,
        run_mesh(ground, bench.cores, shops, profile=profile, is_pinned=False) as front,
    ):
        return await _run_trace(front.port, workers, seconds)


def _build_turn(turns: Sequence[tuple[str, str]]) -> bytes:
    return build_chat(TIMED, turns, tokens=ANSWER_TOKENS, is_stream=True)


async def _run_trace(port: int, workers: Sequence[int], seconds: float) -> Hits:
    firsts_ms: list[float] = []
    lost = 0
    watch, start_s = Watch(), trio.current_time()

    async def converse(conversation: Conversation) -> None:
        nonlocal lost
        said = [("system", conversation.system)]
        due_s = start_s + conversation.starts_s
        async with connect(port) as stream:
            for text, think_s in conversation.turns:
                due_s += think_s
                await trio.sleep_until(due_s)
                said.append(("user", text))
                try:
                    answer = await ask(stream, _build_turn(said))
                except (HungUp, trio.BrokenResourceError):
                    lost += 1
                    return
                if answer.status != 200:
                    lost += 1
                    return
                firsts_ms.append((answer.first_s - due_s) * 1000)
                said.append(("assistant", make_answer(ANSWER_TOKENS)))
                due_s = answer.ended_s

    async with trio.open_nursery() as nursery:
        for conversation in build_trace(seconds):
            nursery.start_soon(converse, conversation)
    spent = watch.read()
    if not firsts_ms:
        raise Missing("nothing was answered")
    ratio = await _read_hit_ratio(workers)
    p50, p95 = (percentile(firsts_ms, share) for share in (0.5, 0.95))
    return Hits(len(firsts_ms), ratio, p50, p95, lost, spent)


class _Counts(msgspec.Struct, frozen=True):
    prompt: int
    cached: int


async def _read_hit_ratio(workers: Sequence[int]) -> float:
    counts = []
    for port in workers:
        async with connect(port) as stream:
            answer = await ask(stream, b"GET /statistics HTTP/1.1\r\nHost: x\r\n\r\n")
            counts.append(msgspec.json.decode(answer.body, type=_Counts))
    return sum(one.cached for one in counts) / max(1, sum(one.prompt for one in counts))
