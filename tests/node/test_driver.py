"""The driver alone, with a core that does what the test says."""

from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Sequence
from contextlib import asynccontextmanager, contextmanager

import pytest
import trio
import trio.testing

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as given
from p2p_modelex.core.effects import StreamId, TimerId
from p2p_modelex.core.inputs import Input
from p2p_modelex.engine.abc import Engine
from p2p_modelex.engine.memory import Fault, MemoryEngine
from p2p_modelex.errors import NetworkError, StoreError, StreamBroken
from p2p_modelex.ids import Address, ChannelId, Digest, JobId
from p2p_modelex.net.abc import Stream
from p2p_modelex.net.memory import MemoryMesh, MemoryNetwork
from p2p_modelex.node import driver as module
from p2p_modelex.node import streams
from p2p_modelex.node.driver import Driver
from p2p_modelex.node.exchange import build_request
from p2p_modelex.node.steps import INPUTS_MAX, Effects
from p2p_modelex.node.timers import Timers
from p2p_modelex.records.receipt import Finish
from p2p_modelex.records.rows import Row, SettingRow
from p2p_modelex.store.memory import MemoryStore
from p2p_modelex.units import UnixMs, Wei
from tests.core.exchange.pair import TERMS
from tests.node.world import MODEL, peer_of

PROTOCOL = "/test/1"
JOB = JobId(b"j" * 16)
OURS = StreamId(2)
REQUEST = build_request("hello there", model=MODEL, max_tokens=8)
GO = given.ShutDown()


class Script:
    """A core: `answer` gives the effects of an input; `told` is all it was told."""

    frame_limits = {PROTOCOL: 100_000, "/back/1": 100_000}  # noqa: RUF012
    background = frozenset({"/back/1"})

    def __init__(self, answer: Callable[[Input], Effects] = lambda happened: ()) -> None:
        self.answer = answer
        self.told: list[Input] = []

    def start(self, now: UnixMs) -> Effects:
        return ()

    def step(self, happened: Input, now: UnixMs) -> Effects:
        self.told.append(happened)
        return self.answer(happened)


def once(*effects: fx.Effect) -> Callable[[Input], Effects]:
    """Answer GO with these."""
    return lambda happened: effects if happened is GO else ()


class Bench:
    """A driver on its network, and a second network that speaks to it."""

    def __init__(self, core: Script, engine: Engine | None = None) -> None:
        mesh = MemoryMesh()
        self.core = core
        self.store = MemoryStore()
        self.peer = MemoryNetwork(mesh, peer_of(2))
        self.network = MemoryNetwork(mesh, peer_of(1))
        self.streams: list[Stream] = []
        engines = {MODEL: engine} if engine else {}
        self.driver = Driver(core, self.network, self.store, None, engines)

    @asynccontextmanager
    async def run(self) -> AsyncGenerator["Bench", None]:
        self.peer.handle(PROTOCOL, self._keep, frame_limit=100_000)
        async with self.peer.run(), self.driver.run():
            with trio.fail_after(5):
                yield self

    async def _keep(self, stream: Stream) -> None:
        self.streams.append(stream)
        await trio.sleep_forever()

    async def wait_for(self, kind: type[Input], count: int = 1) -> list[Input]:
        def found() -> list[Input]:
            return [happened for happened in self.core.told if isinstance(happened, kind)]

        await self.driver.steps.wait_until(lambda: len(found()) >= count)
        return found()

    async def open(self, protocol: str = PROTOCOL) -> Stream:
        await self.peer.dial(self.network.peer, self.network.addresses)
        return await self.peer.open_stream(self.network.peer, protocol, frame_limit=100_000)

    @contextmanager
    def stand_still(self) -> Generator[None]:
        """No step is taken meanwhile, as while rows are written."""
        self.driver.steps._is_open = False
        yield
        self.driver.steps._is_open = True
        self.driver.steps._advance()

    def dial(self) -> fx.OpenStream:
        return fx.OpenStream(OURS, self.peer.peer, self.peer.addresses or ("/memory/1",), PROTOCOL)


class FullDisk(MemoryStore):
    async def apply(self, rows: Sequence[Row]) -> None:
        raise StoreError("the disk is full")


async def test_a_store_that_fails_stops_the_node_before_anything_is_said() -> None:
    bench = Bench(Script())
    row = SettingRow("x", b"")
    bench.core.answer = once(fx.Persist((row,)), fx.SetTimer(TimerId("t"), UnixMs(0)))
    bench.driver.steps._store = FullDisk()
    with pytest.raises(StoreError, match="disk is full"):
        async with bench.run():
            await bench.driver.steps.tell(GO)
            await trio.sleep_forever()
    assert bench.core.told == [GO]
    assert not bench.driver._timers._due


async def test_a_bug_in_a_step_takes_the_node_down_as_it_is() -> None:
    def fail(happened: Input) -> Effects:
        raise ZeroDivisionError

    bench = Bench(Script(fail))
    with pytest.raises(ZeroDivisionError):
        async with bench.run():
            await bench.driver.steps.tell(GO)
            await trio.sleep_forever()


async def test_what_the_block_raises_comes_out_as_itself() -> None:
    with pytest.raises(NetworkError):
        async with Bench(Script()).run():
            raise NetworkError("no peer answered")


async def test_a_caller_that_does_not_read_is_cancelled_not_paid_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "RUN_EVENTS_MAX", 1)
    text = fx.Emit(fx.RunText(JOB, "x", 1))
    bench = Bench(Script(once(text, text, text)))
    async with bench.run():
        events = bench.driver.listen(JOB)
        await bench.driver.steps.tell(GO)
        assert await bench.wait_for(given.CancelRun) == [given.CancelRun(JOB)]
        assert [event async for event in events] == [text.event]


async def test_events_of_a_run_that_nobody_listens_to_are_dropped() -> None:
    bench = Bench(Script(once(fx.Emit(fx.RunText(JOB, "x", 1)))))
    async with bench.run():
        bench.driver.listen(JOB)
        bench.driver.forget(JOB)
        await bench.driver.steps.tell(GO)
        await bench.wait_for(given.ShutDown)
    assert bench.core.told == [GO]


async def test_without_a_chain_every_chain_effect_fails_in_order() -> None:
    payee, channel = Address(b"p" * 20), ChannelId(b"c" * 32)
    respond = once(
        fx.FetchChannel(channel, TERMS),
        fx.OpenChannel(payee, Wei(1), Digest(bytes(32))),
        fx.TopUpChannel(payee, TERMS, Wei(1)),
        fx.PayOut(payee),
        fx.Redeem(()),
    )
    bench = Bench(Script(respond))
    async with bench.run():
        await bench.driver.steps.tell(GO)
        assert await bench.wait_for(given.ChannelFetched) == [given.ChannelFetched(channel, None)]
        await bench.wait_for(given.ChannelOpenFailed, 2)
        await bench.wait_for(given.RedeemFailed)


# Streams.


async def test_a_stream_reset_as_soon_as_it_is_seen_is_gone() -> None:
    def refuse(happened: Input) -> Effects:
        if isinstance(happened, given.StreamOpened):
            return (fx.ResetStream(happened.stream),)
        return ()

    bench = Bench(Script(refuse))
    async with bench.run():
        stream = await bench.open()
        with pytest.raises(StreamBroken):
            await stream.receive_frame()
        await bench.driver.wait_quiet()


async def test_it_is_not_quiet_while_a_stream_is_being_opened() -> None:
    def say_goodbye(happened: Input) -> Effects:
        if isinstance(happened, given.StreamReady):
            return (fx.Send(OURS, b"goodbye"), fx.CloseStream(OURS))
        return (bench.dial(),) if happened is GO else ()

    bench = Bench(Script(say_goodbye))
    async with bench.run():
        await bench.driver.steps.perform(lambda now: bench.core.step(GO, now))
        await bench.driver.wait_quiet()
        assert await bench.streams[0].receive_frame() == b"goodbye"


async def test_the_network_is_not_cut_off_while_it_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    @asynccontextmanager
    async def run(self: MemoryNetwork) -> AsyncGenerator[None, None]:
        yield
        await trio.lowlevel.checkpoint()
        said.append("goodbye")

    bench = Bench(Script())
    monkeypatch.setattr(MemoryNetwork, "run", run)
    async with bench.driver.run():
        pass
    assert said == ["goodbye"]


async def test_a_dial_cancelled_before_it_began_opens_nothing() -> None:
    bench = Bench(Script())
    async with bench.run():
        bench.core.answer = once(bench.dial(), fx.CloseStream(OURS))
        await bench.driver.steps.tell(GO)
        await bench.wait_for(given.ShutDown)
        await trio.testing.wait_all_tasks_blocked()
        assert all(not isinstance(one, given.StreamReady) for one in bench.core.told)
        assert bench.network.statistics().streams == 0


async def test_a_dial_that_fails_is_said_and_the_node_goes_on() -> None:
    nowhere = fx.OpenStream(OURS, peer_of(9), ("/memory/9",), PROTOCOL)
    bench = Bench(Script(once(nowhere, nowhere)))
    async with bench.run():
        await bench.driver.steps.tell(GO)
        await bench.wait_for(given.StreamFailed)


async def test_a_dial_that_hangs_is_given_up(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    bench = Bench(Script())

    async def hang(*args: object) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(bench.network, "dial", hang)
    bench.core.answer = once(fx.OpenStream(OURS, peer_of(2), (), PROTOCOL))
    async with bench.peer.run(), bench.driver.run():
        await bench.driver.steps.tell(GO)
        [failed] = await bench.wait_for(given.StreamFailed)
    assert failed == given.StreamFailed(OURS, "the peer did not answer in time")


async def test_what_was_queued_goes_out_before_a_close() -> None:
    bench = Bench(Script())

    def answer(happened: Input) -> Effects:
        if isinstance(happened, given.StreamReady):
            return (fx.Send(OURS, b"one"), fx.Send(OURS, b"two"), fx.CloseStream(OURS))
        return (bench.dial(),) if happened is GO else ()

    bench.core.answer = answer
    async with bench.run():
        await bench.driver.steps.tell(GO)
        await trio.testing.wait_all_tasks_blocked()
        await bench.driver.wait_quiet()
        assert [await bench.streams[0].receive_frame() for _ in range(2)] == [b"one", b"two"]


async def test_frames_wait_for_room_again_and_again() -> None:
    bench = Bench(Script())
    burst = [fx.Send(OURS, bytes([number]) * 90_000) for number in range(8)]

    def answer(happened: Input) -> Effects:
        if isinstance(happened, given.StreamReady | given.TimerFired):
            return burst
        return (bench.dial(),) if happened is GO else ()

    bench.core.answer = answer
    async with bench.run():
        await bench.driver.steps.tell(GO)
        for turn in range(3):
            if turn:
                await bench.driver.steps.tell(given.TimerFired(TimerId("again")))
            await trio.testing.wait_all_tasks_blocked()
            for number in range(8):
                assert (await bench.streams[0].receive_frame())[:1] == bytes([number])


async def test_a_peer_that_does_not_read_is_reset_and_told_of() -> None:
    bench = Bench(Script())
    frame = bytes(90_000)

    def answer(happened: Input) -> Effects:
        if isinstance(happened, given.StreamReady):
            return [fx.Send(OURS, frame)] * (streams.SEND_QUEUE_FRAMES + 10)
        return (bench.dial(),) if happened is GO else ()

    bench.core.answer = answer
    async with bench.run():
        await bench.driver.steps.tell(GO)
        [ended] = await bench.wait_for(given.StreamEnded)
        assert ended == given.StreamEnded(OURS, False, "reset")


async def test_a_peer_that_does_not_read_cannot_hold_a_closed_stream(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench(Script())

    def answer(happened: Input) -> Effects:
        if isinstance(happened, given.StreamReady):
            return [*([fx.Send(OURS, bytes(90_000))] * 9), fx.CloseStream(OURS)]
        return (bench.dial(),) if happened is GO else ()

    bench.core.answer = answer
    bench.peer.handle(PROTOCOL, bench._keep, frame_limit=100_000)
    async with bench.peer.run(), bench.driver.run():
        await bench.driver.steps.tell(GO)
        await bench.wait_for(given.StreamReady)
        started_s = trio.current_time()
        await bench.driver.wait_quiet()
        assert trio.current_time() - started_s <= streams.LINGER_S + 1


async def test_a_flood_of_frames_is_pushed_back_not_stored() -> None:
    bench = Bench(Script())
    async with bench.run():
        stream = await bench.open()
        for _ in range(2 * INPUTS_MAX):
            await stream.send_frame(b"x" * 100)
        await bench.wait_for(given.FrameReceived, 2 * INPUTS_MAX)
        await stream.aclose()
        [ended] = await bench.wait_for(given.StreamEnded)
        assert isinstance(ended, given.StreamEnded)
        assert ended.clean


async def test_streams_of_a_flood_take_turns_with_everybody_elses() -> None:
    """However much one stream sends, another's frame waits for one of it."""
    bench = Bench(Script())
    async with bench.run():
        flood, honest = await bench.open(), await bench.open()
        with bench.stand_still():
            for _ in range(50):
                await flood.send_frame(b"flood")
            await trio.testing.wait_all_tasks_blocked()
            await honest.send_frame(b"honest")
            await trio.testing.wait_all_tasks_blocked()
        frames = [one.payload for one in await bench.wait_for(given.FrameReceived, 3)]  # type: ignore[union-attr]
        assert b"honest" in frames[:3]


async def test_frames_of_background_protocols_come_one_at_a_time() -> None:
    bench = Bench(Script())
    async with bench.run():
        with bench.stand_still():
            for _ in range(5):
                await (await bench.open("/back/1")).send_frame(b"slow")
            front = await bench.open()
            await trio.testing.wait_all_tasks_blocked()
            await front.send_frame(b"front")
            await trio.testing.wait_all_tasks_blocked()
        frames = [one.payload for one in await bench.wait_for(given.FrameReceived, 6)]  # type: ignore[union-attr]
        assert frames.index(b"front") <= 2


async def test_a_peer_that_does_not_read_answers_is_reset_by_their_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "SEND_QUEUE_BYTES", 150_000)
    bench = Bench(Script())

    def answer(happened: Input) -> Effects:
        stream = getattr(happened, "stream", None)
        big = isinstance(happened, given.FrameReceived)
        return [fx.Send(stream, bytes(100_000))] if big and stream is not None else []

    bench.core.answer = answer
    async with bench.run():
        stream = await bench.open()
        with pytest.raises(NetworkError):
            while True:
                await stream.send_frame(b"more")
        [ended] = await bench.wait_for(given.StreamEnded)
        assert isinstance(ended, given.StreamEnded)
        assert not ended.clean


# Jobs.


class Buggy(MemoryEngine):
    async def count_tokens(self, request: object) -> int:
        raise ZeroDivisionError


def last_of(told: Iterable[Input]) -> Input:
    return list(told)[-1]


async def test_stopping_a_job_before_it_began_ends_it_cancelled() -> None:
    bench = Bench(
        Script(once(fx.Generate(JOB, REQUEST), fx.StopGenerating(JOB), fx.StopGenerating(JOB))),
        MemoryEngine(MODEL, delay_s=60),
    )
    async with bench.run():
        await bench.driver.steps.tell(GO)
        [finished] = await bench.wait_for(given.EngineFinished)
        assert isinstance(finished, given.EngineFinished)
        assert finished.finish is Finish.CANCELLED


@pytest.mark.parametrize("effect", [fx.CountTokens(JOB, REQUEST), fx.Generate(JOB, REQUEST)])
async def test_a_model_that_is_not_loaded_is_unsupported(effect: fx.Effect) -> None:
    bench = Bench(Script(once(effect)))
    async with bench.run():
        await bench.driver.steps.tell(GO)
        [failed] = await bench.wait_for(given.EngineFailed)
        assert isinstance(failed, given.EngineFailed)
        assert failed.code == "unsupported"


async def test_an_engines_bug_ends_its_job_and_not_the_node() -> None:
    bench = Bench(Script(once(fx.CountTokens(JOB, REQUEST))), Buggy(MODEL))
    async with bench.run():
        await bench.driver.steps.tell(GO)
        [failed] = await bench.wait_for(given.EngineFailed)
        assert failed == given.EngineFailed(JOB, "engine", "the engine failed unexpectedly", 0)


async def test_an_engine_that_crashes_in_mid_stream_is_a_failed_job() -> None:
    engine = MemoryEngine(MODEL, fault=Fault("crash", after_pieces=2))
    bench = Bench(Script(once(fx.Generate(JOB, REQUEST))), engine)
    async with bench.run():
        await bench.driver.steps.tell(GO)
        await bench.wait_for(given.EngineFailed)
        produced = [one for one in bench.core.told if isinstance(one, given.EngineProduced)]
        assert len(produced) == 2


# Timers.


async def test_timers_fire_in_the_order_of_their_times_once_and_not_if_cancelled(
    autojump_clock: trio.testing.MockClock,
) -> None:
    fired: list[str] = []

    async def fire(timer: TimerId) -> None:
        fired.append(timer)

    def clock() -> UnixMs:
        return UnixMs(int(trio.current_time() * 1000))

    timers = Timers(clock, fire)
    start = clock()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(timers.run)
        for name, after_ms in (("c", 300), ("a", 100), ("b", 900), ("gone", 150), ("d", 200_000)):
            timers.set(TimerId(name), UnixMs(start + after_ms))
        timers.set(TimerId("b"), UnixMs(start + 200))
        timers.cancel(TimerId("gone"))
        timers.cancel(TimerId("never"))
        for _ in range(200):
            timers.set(TimerId("e"), UnixMs(start + 500))
        await trio.sleep(201)
        assert fired == ["a", "b", "c", "e", "d"]
        nursery.cancel_scope.cancel()


async def test_a_clock_set_forward_is_noticed(autojump_clock: trio.testing.MockClock) -> None:
    fired = trio.Event()
    jump = 0

    async def fire(timer: TimerId) -> None:
        fired.set()

    timers = Timers(lambda: UnixMs(int(trio.current_time() * 1000) + jump), fire)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(timers.run)
        timers.set(TimerId("a"), UnixMs(int(trio.current_time() * 1000) + 10**9))
        await trio.testing.wait_all_tasks_blocked()
        jump = 10**9
        with trio.fail_after(61):
            await fired.wait()
        nursery.cancel_scope.cancel()
