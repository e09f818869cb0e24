"""The gateway's main promise on real parts: a provider's process is killed in mid-answer, and the
caller, who uses OpenAI's library, sees nothing but the answer.
"""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import openai
import pytest
import trio

from p2p_modelex.demo.mesh import GATEWAY, PASSPHRASE, Mesh, _make_home, open_mesh, run_gateway
from p2p_modelex.ids import format_peer_id
from p2p_modelex.node.configuration_file import read_configuration
from p2p_modelex.node.model_settings import ModelSettings
from tests.chaos.stage import MODEL, TOKENS_MAX

SELLERS = ("one", "two")
START_TIMEOUT_S = 60.0


@asynccontextmanager
async def sell(mesh: Mesh, name: str) -> AsyncGenerator[trio.Process, None]:
    """A provider's process with an engine that needs no model; it may be killed meanwhile."""
    [bootstrap] = read_configuration(mesh.homes["client"].configuration).mesh.bootstrap
    _make_home(mesh, name, "provider", (ModelSettings(model=MODEL),), bootstrap)
    home = mesh.homes[name]
    command = [sys.executable, "-m", "tests.chaos.seller", str(home.path)]
    with (home.logs / "node.log").open("wb") as log:
        process = await trio.lowlevel.open_process(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log
        )
    assert process.stdout is not None
    try:
        with trio.fail_after(START_TIMEOUT_S):
            heard = b""
            while b"listening on" not in heard:
                heard += await process.stdout.receive_some(4096)
        yield process
    finally:
        with trio.CancelScope(shield=True):
            if process.returncode is None:
                process.terminate()
            await process.wait()


@dataclass
class Heard:
    """What a caller saw of one answer."""

    text: str = ""
    provider: str = ""
    route: tuple[str, ...] = ()


def stream(url: str, pids: dict[str, int]) -> Heard:
    """Ask for a long answer; once it has begun, kill who gives it, if its pid is known."""
    heard = Heard()
    with (
        openai.OpenAI(base_url=url, api_key="none", max_retries=0) as library,
        library.chat.completions.with_streaming_response.create(
            model=MODEL,
            messages=[{"role": "user", "content": "hello"}],
            max_tokens=TOKENS_MAX,
            temperature=0,
            stream=True,
        ) as answer,
    ):
        heard.provider = answer.headers["x-modelex-provider"]
        for event in answer.parse():
            [choice] = event.choices
            heard.text += choice.delta.content or ""
            if heard.text and heard.provider in pids:
                os.kill(pids.pop(heard.provider), signal.SIGKILL)
            if choice.model_extra and "modelex" in choice.model_extra:
                heard.route = tuple(choice.model_extra["modelex"]["route"])
    return heard


async def test_a_provider_killed_in_mid_answer_is_not_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELEX_PASSPHRASE", PASSPHRASE)
    models = tmp_path / "models"
    models.mkdir()
    async with (
        open_mesh(tmp_path, models, print, ()) as mesh,
        sell(mesh, "one") as one,
        sell(mesh, "two") as two,
        run_gateway(mesh) as url,
    ):
        names = {name: format_peer_id(mesh.keys[name].peer.peer) for name in SELLERS}
        with trio.fail_after(START_TIMEOUT_S):
            while await trio.to_thread.run_sync(count_providers, url) < len(SELLERS):
                await trio.sleep(0.2)
        undisturbed = await trio.to_thread.run_sync(stream, url, {})
        pids = {names["one"]: one.pid, names["two"]: two.pid}
        disturbed = await trio.to_thread.run_sync(stream, url, pids)
        assert len(undisturbed.text.split()) == TOKENS_MAX
        assert disturbed.text == undisturbed.text
        assert set(disturbed.route) == set(names.values())
        assert disturbed.route[0] == disturbed.provider
        killed = one if names["one"] == disturbed.provider else two
        assert await killed.wait() == -signal.SIGKILL
        assert len(list(mesh.homes[GATEWAY].receipts.iterdir())) > 0


def count_providers(url: str) -> int:
    with openai.OpenAI(base_url=url, api_key="none") as library:
        extras = [model.model_extra or {} for model in library.models.list()]
    return sum(extra["modelex"]["providers"] for extra in extras)
