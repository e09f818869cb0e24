from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from p2p_modelex.engine.memory import MemoryEngine
from p2p_modelex.engine.spec import EngineSpec, UpstreamSpec
from p2p_modelex.engine.upstream.engine import UpstreamEngine
from tests.engine.openai_server import OpenAiServer, serving_openai


def engine_of(server: OpenAiServer, **settings: Any) -> UpstreamEngine:
    upstream = UpstreamSpec(
        server.url,
        "m",
        **{name: settings.pop(name) for name in list(settings) if name in _UPSTREAM},
    )
    return UpstreamEngine(EngineSpec("upstream", "offered", upstream=upstream, **settings))


_UPSTREAM = {"key_file", "key_variable", "dialect", "features"}


@asynccontextmanager
async def fronting(
    *, owner: str = "vllm", delay_s: float = 0.0, **settings: Any
) -> AsyncIterator[tuple[UpstreamEngine, OpenAiServer]]:
    """An engine and the server behind it, which can be told to misbehave from now on."""
    behind = MemoryEngine("m", slots=64, delay_s=delay_s)
    async with serving_openai(behind, owner) as server, engine_of(server, **settings) as engine:
        yield engine, server
