"""The worker process: what happens to jobs when it dies, stalls or loses its parent."""

import fcntl
import os
import signal
import subprocess
import sys
from contextlib import aclosing, suppress
from pathlib import Path

import pytest
import trio

from p2p_modelex.engine.abc import Started
from p2p_modelex.engine.process import ProcessEngine
from p2p_modelex.engine.spec import EngineSpec
from p2p_modelex.errors import BadInput, EngineCrashed, ModelRejected, Unsupported
from p2p_modelex.limits import TOP_LOGPROBS_MAX
from p2p_modelex.records.job import Request
from tests.engine.asking import ask, make_request
from tests.engine.tiny import write_tiny

LONG = make_request("a", max_tokens=480, logprobs=1 + TOP_LOGPROBS_MAX)
PAGE = 4096
"""Bytes; the worker's frames for LONG are 24 times as many."""


def strike(engine: ProcessEngine, signal_number: int) -> int:
    """Send the worker a signal and return its process id."""
    assert engine.pid is not None
    os.kill(engine.pid, signal_number)
    return engine.pid


def hold_back(engine: ProcessEngine) -> None:
    """Let the worker be only pages ahead of us: however late we are, LONG has not ended when it has
    just begun.
    """
    assert engine._child is not None
    stdout = engine._child._process.stdout
    assert isinstance(stdout, trio.lowlevel.FdStream)
    fcntl.fcntl(stdout.fileno(), fcntl.F_SETPIPE_SZ, PAGE)


def engine_of(path: Path, **settings: float) -> ProcessEngine:
    return ProcessEngine(EngineSpec("ctransformers", "m", path, **settings))  # type: ignore[arg-type]


@pytest.mark.parametrize("signal_number", [signal.SIGSEGV, signal.SIGKILL])
async def test_a_crash_costs_the_job_and_the_next_one_works(tiny: Path, signal_number: int) -> None:
    async with engine_of(tiny) as engine:
        hold_back(engine)
        waiting: list[str] = []

        async def ask_next() -> None:
            waiting.append((await ask(engine, make_request("ab", max_tokens=2))).text)

        async with trio.open_nursery() as nursery, aclosing(engine.generate(LONG)) as stream:
            assert isinstance(await anext(stream), Started)
            nursery.start_soon(ask_next)
            first = strike(engine, signal_number)
            with pytest.raises(EngineCrashed, match=signal.Signals(signal_number).name):
                async for _ in stream:
                    pass
        # The one that waited was served by the successor.
        assert len(waiting) == 1
        assert engine.pid not in (None, first)
        statistics = engine.statistics()
        assert (statistics.restarts, statistics.failed, statistics.finished) == (1, 1, 1)
        assert statistics.running == 0


async def test_a_stalled_worker_is_killed(tiny: Path) -> None:
    async with engine_of(tiny, stall_s=0.5) as engine:
        hold_back(engine)
        async with aclosing(engine.generate(LONG)) as stream:
            await anext(stream)
            strike(engine, signal.SIGSTOP)
            match = r"no sign of life.*SIGKILL"
            with trio.fail_after(5), pytest.raises(EngineCrashed, match=match):
                async for _ in stream:
                    pass


async def test_an_idle_worker_may_be_silent(tiny: Path) -> None:
    async with engine_of(tiny, stall_s=0.1) as engine:
        await trio.sleep(0.5)
        assert (await ask(engine, make_request("ab", max_tokens=1))).pieces
        assert engine.statistics().restarts == 0


async def test_it_gives_up_after_too_many_failures(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "gone.gguf")
    async with engine_of(path, restarts_max=1) as engine:
        path.unlink()
        strike(engine, signal.SIGKILL)
        with suppress(EngineCrashed):  # the first failure, if the request is quicker than the news
            await ask(engine, make_request("ab", max_tokens=1))
        with trio.fail_after(30), pytest.raises(EngineCrashed, match=r"2 times.*cannot read"):
            await ask(engine, make_request("ab", max_tokens=1))
        with pytest.raises(EngineCrashed):
            await engine.count_tokens(make_request("ab"))


async def test_a_bad_model_is_named_at_the_start(tmp_path: Path, tiny: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes((await trio.Path(tiny).read_bytes())[:100_000])
    with pytest.raises(ModelRejected, match="outside the file"):
        async with engine_of(broken):
            pass
    with pytest.raises(ModelRejected, match="SHA-256"):
        async with ProcessEngine(EngineSpec("ctransformers", "m", tiny, weights=b"\1" * 32)):  # type: ignore[arg-type]
            pass
    with pytest.raises(ModelRejected, match="cannot read"):
        async with engine_of(Path("/nowhere/TheBloke/some-model")):
            pass


async def test_a_start_that_takes_too_long_is_ended(tiny: Path) -> None:
    with pytest.raises(EngineCrashed, match="not loaded within"):
        async with engine_of(tiny, startup_s=0.01):
            pass


async def test_the_bodys_exception_comes_out_as_it_is(tiny: Path) -> None:
    with pytest.raises(Unsupported, match="mine"):
        async with engine_of(tiny):
            raise Unsupported("mine")


async def test_text_that_is_none_is_refused(tiny: Path) -> None:
    async with engine_of(tiny) as engine:
        with pytest.raises(BadInput, match="surrogate"):
            await ask(engine, make_request("\ud800"))
        with pytest.raises(BadInput, match="bytes"):
            await ask(engine, make_request("x" * 600_000))
        assert engine.statistics().running == 0


async def test_prompts_are_counted_while_a_job_runs(tiny: Path) -> None:
    async with engine_of(tiny) as engine:
        hold_back(engine)
        async with aclosing(engine.generate(LONG)) as stream:
            await anext(stream)
            with trio.fail_after(5):
                assert await engine.count_tokens(make_request("ab")) > 0
            assert engine.statistics().running == 1


PARENT = """
import sys, trio
from pathlib import Path
from p2p_modelex.engine.process import ProcessEngine
from p2p_modelex.engine.spec import EngineSpec
async def main():
    async with ProcessEngine(EngineSpec("ctransformers", "m", Path(sys.argv[1]))) as engine:
        print(engine.pid, flush=True)
        await trio.sleep_forever()
trio.run(main)
"""


async def test_the_worker_ends_with_a_killed_parent(tiny: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(tiny)]
    parent = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    async with parent.stdout:
        worker = os.pidfd_open(int(await parent.stdout.receive_some(100)))
        parent.kill()
        await parent.wait()
        with trio.fail_after(5):
            await trio.lowlevel.wait_readable(worker)  # a pidfd is readable when it has ended
        os.close(worker)


async def test_a_worker_that_answers_nonsense_is_replaced(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from p2p_modelex.engine import frames

    async with engine_of(tiny) as engine:

        def refuse(_: bytes) -> frames.Event:
            raise EngineCrashed("not an event")

        request: Request = make_request("ab", max_tokens=2)
        with monkeypatch.context() as patch, pytest.raises(EngineCrashed, match="not an event"):
            patch.setattr(frames, "decode_event", refuse)
            await ask(engine, request)
        assert (await ask(engine, request)).pieces
