"""OpenAI's own JavaScript library against the gateway."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import trio

from p2p_modelex.engine.memory import Fault, MemoryEngine
from p2p_modelex.ids import format_peer_id
from tests.interop.conftest import Figure
from tests.node.gateway.serving import serve
from tests.node.world import MODEL, peer_of

SCRIPT = Path(__file__).parent / "openai" / "ask.mjs"


@pytest.mark.interop
async def test_the_javascript_library_sees_nothing_of_a_provider_that_dies(figure: Figure) -> None:
    """OpenAI's npm package through the gateway, a provider dying in mid-answer"""
    node = shutil.which("node")
    assert node is not None
    dying = MemoryEngine(MODEL, delay_s=0.05, fault=Fault("crash", 3, jobs=99))
    async with serve(dying, MemoryEngine(MODEL)) as served:
        command = [node, str(SCRIPT), served.url, MODEL]
        done = await trio.run_process(command, capture_stdout=True, stdin=subprocess.DEVNULL)
    saw = json.loads(done.stdout)
    assert saw["whole"] == saw["streamed"]
    assert len(saw["whole"].split()) == 8
    assert [usage["total_tokens"] for usage in saw["usages"]] == [11, 11]
    failovers = [route for route in saw["routes"] if len(route) > 1]
    assert failovers[0] == [format_peer_id(peer_of(number)) for number in (1, 2)]
    assert saw["models"] == [MODEL]
    assert saw["tools"] == {"looked": ["market"], "answer": "It is a river"}
    assert saw["failures"] == [
        {"kind": "NotFoundError", "status": 404, "code": "model_not_found"},
        {"kind": "BadRequestError", "status": 400, "code": "unsupported"},
        {"kind": "APIError", "status": 402, "code": "over_ceiling"},
    ]
    figure("failovers nobody saw", len(failovers))
