"""What a node sells follows its engines: swapped models, and upstreams that come and go."""

from pathlib import Path

import pytest
import structlog.testing
import trio
import trio.testing

from p2p_modelex.engine.catalogue import Catalogue
from p2p_modelex.engine.memory import MemoryEngine
from p2p_modelex.engine.spec import EngineSpec
from p2p_modelex.engine.swapping import SwappingEngine
from p2p_modelex.node import node as running
from p2p_modelex.node import upgrading
from p2p_modelex.node.assembly import build_spec
from p2p_modelex.node.exchange import Exchange
from p2p_modelex.node.home import Home
from p2p_modelex.node.model_settings import ModelSettings
from p2p_modelex.records.advertisement import Offer
from tests.engine.tiny import write_tiny
from tests.node.world import MODEL, World, wait_for_sellers


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "WATCH_INTERVAL_S", 0.02)
    monkeypatch.setattr(upgrading, "INTERVAL_S", 0.02)


class Fickle(MemoryEngine):
    """Is ready when it is told to be."""

    ready = True

    @property
    def is_ready(self) -> bool:
        return self.ready


async def test_what_is_not_ready_is_not_advertised() -> None:
    world = World()
    engine = Fickle(MODEL)
    async with world.provider(1, engine) as node, world.requester(2, friends=[1]) as exchange:
        await wait_for_sellers(exchange, 1)
        engine.ready = False
        await wait_for_sellers(exchange, 0)
        engine.ready = True
        # Others hear of it when the interval of announcements has passed.
        with trio.fail_after(5):
            await node.wait_until(lambda: bool(_own_offers(node)))


async def test_a_model_is_swapped_under_load_and_no_job_fails() -> None:
    world = World()
    old, new = MemoryEngine("old", delay_s=0.001), MemoryEngine("new")
    named = {"old": old, "new": new}
    engine = SwappingEngine(EngineSpec("memory", "old"), lambda spec: named[spec.model])
    async with world.provider(1, engine), world.requester(2, friends=[1]) as exchange:
        await wait_for_sellers(exchange, 1)
        weights: list[bytes] = []

        async def load() -> None:
            while not weights or weights[-1] != new.info.weights:
                completion = exchange.run("hello", model=MODEL, max_tokens=8)
                await completion.wait()
                assert completion.row is not None
                weights.append(completion.row.receipt.receipt.weights)
                # Who bought knew what it bought.
                assert completion.row.request.weights == weights[-1]

        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                for _ in range(4):
                    nursery.start_soon(load)
                while len(weights) < 8:
                    await trio.lowlevel.checkpoint()
                await engine.swap(EngineSpec("memory", "new"))
        assert set(weights) == {old.info.weights, new.info.weights}
        await _wait_for_weights(exchange, new.info.weights)


def _own_offers(node: running.Node) -> tuple[Offer, ...]:
    entry = node.core.directory.get(node.peer)
    assert entry is not None
    return entry.advertisement.offers


async def _wait_for_weights(exchange: Exchange, weights: bytes) -> None:
    with trio.fail_after(5):
        await exchange.node.wait_until(
            lambda: exchange.nodes()[0].advertisement.offers[0].weights == weights
        )


async def test_a_model_replaced_in_the_catalogue_is_swapped(tmp_path: Path) -> None:
    home = Home(tmp_path)
    catalogue = Catalogue(home.models)
    settings = ModelSettings(model="mine", engine="ctransformers")

    def put(seed: int) -> None:
        file = write_tiny(tmp_path / "incoming.gguf", seed=seed)
        home.models.mkdir(exist_ok=True)
        catalogue.adopt(file, "mine", source="a test")

    put(1)
    first = build_spec(home, settings)
    engine = SwappingEngine(first)
    with structlog.testing.capture_logs() as logs, trio.fail_after(30):
        async with engine, trio.open_nursery() as nursery:
            engines = {"mine": engine}
            nursery.start_soon(upgrading.follow_catalogue, home, (settings,), engines, build_spec)
            put(2)
            second = build_spec(home, settings)
            assert second.weights not in (None, first.weights)
            while engine.info.weights != second.weights:
                await trio.lowlevel.checkpoint()

            # One that is not what its entry says is reported once, and what runs goes on.
            put(3)
            catalogue.path_of(catalogue.get("mine")).write_bytes(b"GGUF, or not")
            while logs[-1]["event"] != "model_not_swapped":
                await trio.lowlevel.checkpoint()
            await trio.sleep(0.1)
            assert engine.info.weights == second.weights
            nursery.cancel_scope.cancel()
    assert [entry["event"] for entry in logs] == ["model_swapped", "model_not_swapped"]
