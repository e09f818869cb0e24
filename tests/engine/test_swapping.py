"""A model is changed under load, and no request fails."""

from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest
import trio
import trio.testing

from p2p_modelex.engine import swapping
from p2p_modelex.engine.abc import Piece, Started
from p2p_modelex.engine.memory import Fault, MemoryEngine
from p2p_modelex.engine.process import ProcessEngine
from p2p_modelex.engine.spec import EngineSpec
from p2p_modelex.engine.swapping import SwappingEngine
from p2p_modelex.errors import EngineCrashed, EngineError, ModelRejected, Unsupported
from tests.engine.asking import ask, make_request
from tests.engine.tiny import write_tiny


class Watched(MemoryEngine):
    """Says whether its block is open."""

    is_open = False

    async def __aenter__(self) -> Self:
        self.is_open = True
        await super().__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.is_open = False
        await super().__aexit__(*exc)


def swapping_of(*engines: Watched) -> SwappingEngine:
    """Runs the first; the others by their names."""
    named = {engine.info.model: engine for engine in engines}
    return SwappingEngine(
        EngineSpec("memory", engines[0].info.model), lambda spec: named[spec.model]
    )


async def test_the_old_one_finishes_what_it_has_and_ends(
    autojump_clock: trio.testing.MockClock,
) -> None:
    old, new = Watched("old", delay_s=5.0, length=20), Watched("new")
    async with swapping_of(old, new) as engine:
        assert (engine.info, engine.is_ready) == (old.info, True)
        named = make_request("x", weights=old.info.weights, max_tokens=2)
        async with aclosing(engine.generate(make_request("x", max_tokens=20))) as stream:
            assert isinstance(await anext(stream), Started)
            await engine.swap(EngineSpec("memory", "new"))
            assert engine.info == new.info
            assert engine.spec.model == "new"
            # Who names no weights is served by the new one, who names the old ones by the old one.
            assert (await ask(engine, make_request("x"))).pieces
            assert engine.statistics().finished == new.statistics().finished == 1
            assert await engine.count_tokens(named) == 1
            assert (await ask(engine, named)).done.completion_tokens == 2
            pieces = [output async for output in stream if isinstance(output, Piece)]
            # It took 100 s, longer than the grace.
            assert len(pieces) == 20
            assert old.is_open
        await trio.testing.wait_all_tasks_blocked()
        assert not old.is_open
        with pytest.raises(Unsupported, match="weights"):
            await ask(engine, named)
    assert not new.is_open


async def test_an_idle_one_ends_after_the_grace(autojump_clock: trio.testing.MockClock) -> None:
    old = Watched("old")
    async with swapping_of(old, Watched("new")) as engine:
        await engine.swap(EngineSpec("memory", "new"))
        await trio.sleep(swapping.GRACE_S - 1)
        assert old.is_open
        await trio.sleep(2)
        assert not old.is_open


async def test_a_model_that_does_not_load_changes_nothing(tmp_path: Path, tiny: Path) -> None:
    good = EngineSpec("ctransformers", "m", tiny)
    bad = EngineSpec("ctransformers", "m", tmp_path / "none.gguf")
    with pytest.raises(ModelRejected):
        async with SwappingEngine(bad):
            pass
    async with SwappingEngine(good) as engine:
        before = engine.info
        with pytest.raises(ModelRejected):
            await engine.swap(bad)
        assert (engine.info, engine.spec) == (before, good)
        assert (await ask(engine, make_request("ab", max_tokens=1))).pieces
    with pytest.raises(EngineError, match="not been started"):
        _ = SwappingEngine(good).info


async def test_the_engines_errors_come_out_as_they_are() -> None:
    faulty = Watched("faulty", fault=Fault("crash", after_pieces=1))
    with pytest.raises(EngineCrashed, match="after 1 pieces"):
        async with swapping_of(faulty) as engine:
            await ask(engine, make_request("x"))


async def test_swapping_llama_cpp_under_load(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swapping, "GRACE_S", 0.1)
    other = write_tiny(tmp_path / "other.gguf", seed=2)

    opened: list[ProcessEngine] = []

    def open_process(spec: EngineSpec) -> ProcessEngine:
        opened.append(ProcessEngine(spec))
        return opened[-1]

    spec = EngineSpec("xllamacpp", "m", tiny, slots=2, waiting_max=8)
    async with SwappingEngine(spec, open_process) as engine, trio.open_nursery() as nursery:
        texts: list[str] = []

        async def load() -> None:
            while True:
                answer = await ask(engine, make_request("the quick", max_tokens=24))
                texts.append(answer.text)

        for _ in range(4):
            nursery.start_soon(load)
        await _wait_for(lambda: len(texts) >= 8)
        first = texts[0]
        await engine.swap(replace(spec, path=other))
        await _wait_for(lambda: texts[-1] != first)
        await _wait_for(lambda: opened[0].pid is None)
        nursery.cancel_scope.cancel()
    # Each answer is one model's, whole: none failed, or the nursery would have.
    assert len(set(texts)) == 2
    assert opened[0].statistics().failed == 0


async def _wait_for(condition: object) -> None:
    assert callable(condition)
    with trio.fail_after(20):
        while not condition():
            await trio.lowlevel.checkpoint()
