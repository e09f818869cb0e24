import json
from contextlib import aclosing
from pathlib import Path

import pytest
import trio

from p2p_modelex.engine.abc import Piece, Started
from p2p_modelex.errors import ModelRejected
from p2p_modelex.records.receipt import Finish
from tests.engine.asking import ask, make_request
from tests.engine.conftest import Opening


async def test_slots_run_at_once_and_answer_as_alone(opening: Opening) -> None:
    request = make_request("the quick", max_tokens=64, temperature=1.0)
    async with opening("xllamacpp", slots=2) as engine:
        alone = await ask(engine, request)
        async with aclosing(engine.generate(make_request("ab", max_tokens=400))) as stream:
            assert isinstance(await anext(stream), Started)
            assert isinstance(await anext(stream), Piece)
            with trio.fail_after(10):
                assert (await ask(engine, request)).text == alone.text
            assert engine.statistics().running == 1
            # Each slot has the whole context, not its share of one.
            assert engine.info.context_length == 512


async def test_what_llama_cpp_refuses_is_named(
    opening: Opening, tiny: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.gguf"
    whole = await trio.Path(tiny).read_bytes()
    broken.write_bytes(whole.replace(b"blk.1.ffn_down.weight", b"blk.1.ffn_dowx.weight"))
    with pytest.raises(ModelRejected, match="could not load"):
        async with opening("xllamacpp", path=broken):
            pass


SCHEMA = {
    "type": "object",
    "properties": {
        "mood": {"enum": ["good", "bad"]},
        "score": {"type": "integer"},
        "sure": {"type": "boolean"},
        "next": {"anyOf": [{"$ref": "#/$defs/point"}, {"type": "null"}]},
    },
    "required": ["mood", "score", "sure", "next"],
    "additionalProperties": False,
    "$defs": {"point": {"type": "object", "properties": {"x": {"type": "integer"}}}},
}


@pytest.mark.slow
async def test_it_writes_what_a_schema_allows(opening: Opening) -> None:
    """A model of random weights, sampled hot: nothing but the schema makes JSON of it."""
    whole = 0
    async with opening("xllamacpp") as engine:
        for seed in range(12):
            for schema in (SCHEMA, {"type": "object"}):
                answer = await ask(
                    engine,
                    make_request(
                        "x", max_tokens=400, temperature=1.0, seed=seed, grammar=json.dumps(schema)
                    ),
                )
                if answer.done.finish is not Finish.STOP:
                    continue
                whole += 1
                value = json.loads(answer.text)
                assert isinstance(value, dict)
                if schema is SCHEMA:
                    assert list(value) == ["mood", "score", "sure", "next"]
                    assert value["mood"] in ("good", "bad")
                    assert isinstance(value["sure"], bool)
    assert whole > 0


async def test_the_tokenizers_port_is_closed_to_others(tiny: Path) -> None:
    """In a process of its own: deleting a server that served nothing hangs."""
    script = f"""
import os, urllib.request, urllib.error
from pathlib import Path
from p2p_modelex.engine.spec import EngineSpec
from p2p_modelex.engine.xllamacpp import XllamacppBackend, _fold_seed
backend = XllamacppBackend(EngineSpec("xllamacpp", "m", Path({str(tiny)!r}), gpu_layers=5))
assert backend.info.device == "cpu" or "gpu" in backend.info.device
assert backend._tokenize("the")
asking = urllib.request.Request(
    backend._server.listening_address + "/tokenize", b'{{"content": "x"}}',
    {{"Content-Type": "application/json"}},
)
try:
    urllib.request.urlopen(asking)
except urllib.error.HTTPError as error:
    print(error.code, flush=True)
assert _fold_seed(2**32 - 1) != 2**32 - 1 and _fold_seed(7) == 7
assert 0 <= _fold_seed(2**63 - 1) < 2**32 - 1
os._exit(0)
"""
    import sys

    result = await trio.run_process([sys.executable, "-c", script], capture_stdout=True)
    assert result.stdout.strip() == b"401"
