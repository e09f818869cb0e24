"""litellm, LangChain and curl against the gateway."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import trio

from p2p_modelex.engine.memory import MemoryEngine
from p2p_modelex.engine.registry import open_engine
from p2p_modelex.engine.spec import EngineSpec
from tests.engine.tiny import write_tiny
from tests.node.gateway.serving import CHAT, Served, serve
from tests.node.world import MODEL

CLIENTS = Path(__file__).parent / "clients"
PYTHON = CLIENTS / ".venv" / "bin" / "python"
# It would fetch a list of prices from GitHub as it is imported.
ENVIRONMENT = os.environ | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}


async def ask(served: Served, what: str) -> dict[str, Any]:
    command = [str(PYTHON), str(CLIENTS / "ask.py"), served.url, MODEL, what]
    done = await trio.run_process(
        command, capture_stdout=True, stdin=subprocess.DEVNULL, env=ENVIRONMENT
    )
    saw: dict[str, Any] = json.loads(done.stdout)
    return saw


@pytest.mark.interop
async def test_litellm_and_langchain_chat_stream_and_embed() -> None:
    """litellm and LangChain through the gateway: whole, streamed, embeddings, errors"""
    async with serve(MemoryEngine(MODEL), MemoryEngine(MODEL, kinds=("embedding",))) as served:
        said = (await served.chat(temperature=0)).json["choices"][0]["message"]["content"]
        saw = await ask(served, "plain")
    for one in saw.values():
        assert one["whole"] == one["streamed"] == said
        assert one["usages"] == [11, 11]
        assert len(one["vectors"]) == 2
        assert one["vectors"][0] != one["vectors"][1]
    assert saw["litellm"]["vectors"] == saw["langchain"]["vectors"]
    assert saw["langchain"]["batch"] == [said, said]
    assert f"nearest: {MODEL}" in saw["litellm"]["failed"]


@pytest.mark.interop
async def test_litellm_and_langchain_hold_a_model_to_a_schema(tmp_path: Path) -> None:
    """A pydantic model by litellm and LangChain, as a JSON schema that a provider enforces"""
    path = await trio.to_thread.run_sync(write_tiny, tmp_path / "tiny.gguf")
    async with serve(open_engine(EngineSpec("xllamacpp", MODEL, path))) as served:
        assert await ask(served, "schema") == {"litellm": 7, "langchain": 7}


async def test_curl_shows_a_stream_as_it_comes() -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("there is no curl")
    slow = MemoryEngine(MODEL, delay_s=0.05)
    body = json.dumps({**CHAT, "stream": True})
    async with serve(slow) as served:
        command = [curl, "-sN", f"{served.url}/chat/completions", "-d", body]
        process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        async with process.stdout as stdout:
            parts = [part async for part in stdout]
        assert await process.wait() == 0
    arrived = b"".join(parts)
    assert arrived.endswith(b"data: [DONE]\n\n")
    assert arrived.count(b'"content":') == 9  # the role's, and each word
    assert len(parts) > 4
