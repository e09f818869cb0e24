from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

import p2p_modelex.engine
from p2p_modelex.engine.abc import Engine
from p2p_modelex.engine.registry import open_engine
from p2p_modelex.engine.spec import EngineSpec
from tests.engine.tiny import write_tiny

Opening = Callable[..., AbstractAsyncContextManager[Engine]]
NATIVE = ["ctransformers", "xllamacpp"]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture(scope="session")
def sentiment() -> Path:
    return Path(p2p_modelex.engine.__file__).parent / "models" / "news-sentiment.gguf"


@pytest.fixture
def opening(tiny: Path) -> Opening:
    """Opens an engine on the tiny model, or on what `path` says."""

    @asynccontextmanager
    async def opened(name: str, **settings: object) -> AsyncIterator[Engine]:
        settings.setdefault("path", tiny)
        async with open_engine(EngineSpec(engine=name, model="m", **settings)) as engine:  # type: ignore[arg-type]
            yield engine

    return opened
