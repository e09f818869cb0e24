from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

import p2p_modelex.engine
from p2p_modelex.engine.abc import Engine
from p2p_modelex.engine.memory import MemoryEngine
from p2p_modelex.engine.registry import open_engine
from p2p_modelex.engine.spec import EngineSpec, UpstreamSpec
from tests.engine.llama_server import KEY, serving_llama
from tests.engine.openai_server import serving_openai
from tests.engine.tiny import write_tiny

Opening = Callable[..., AbstractAsyncContextManager[Engine]]
NATIVE = ["ctransformers", "xllamacpp"]
UPSTREAM = ["upstream-openai", "upstream-llamacpp"]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture(scope="session")
def sentiment() -> Path:
    return Path(p2p_modelex.engine.__file__).parent / "models" / "news-sentiment.gguf"


@asynccontextmanager
async def serving_upstream(
    name: str, tiny: Path, monkeypatch: pytest.MonkeyPatch, *, embedding: bool
) -> AsyncIterator[UpstreamSpec]:
    """One of UPSTREAM, and how to reach it. embedding: whether it makes vectors and nothing else,
    so that there are no features to try.
    """
    if name == "upstream-openai":
        features = () if embedding else ("logprobs", "seed", "tools")
        async with serving_openai(MemoryEngine("m", slots=64)) as server:
            yield UpstreamSpec(server.url, "m", features=features)
    else:
        monkeypatch.setenv("TEST_UPSTREAM_KEY", KEY)
        tried = () if embedding else ("grammar", "json_schema", "logprobs", "seed")
        async with serving_llama(tiny, slots=1, embedding=embedding) as url:
            yield UpstreamSpec(url, "m", key_variable="TEST_UPSTREAM_KEY", features=tried)


@pytest.fixture
def opening(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Opening:
    """Opens an engine on the tiny model, or on what `path` says."""

    @asynccontextmanager
    async def opened(name: str, **settings: object) -> AsyncIterator[Engine]:
        if name in UPSTREAM:
            embedding = settings.get("kinds") == ("embedding",)
            serving = serving_upstream(name, tiny, monkeypatch, embedding=embedding)
            async with serving as upstream:
                spec = EngineSpec("upstream", "m", upstream=upstream, **settings)  # type: ignore[arg-type]
                async with open_engine(spec) as engine:
                    yield engine
            return
        settings.setdefault("path", tiny)
        async with open_engine(EngineSpec(engine=name, model="m", **settings)) as engine:  # type: ignore[arg-type]
            yield engine

    return opened
