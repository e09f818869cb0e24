"""LoRA adapters: they change what a model says, and its name; what does not fit is refused."""

from pathlib import Path

import pytest

from p2p_modelex.engine.adapters import vet_adapters
from p2p_modelex.engine.spec import EngineSpec, UpstreamSpec
from p2p_modelex.engine.upstream.engine import UpstreamEngine
from p2p_modelex.engine.vetting import read_header
from p2p_modelex.errors import ConfigurationError, ModelRejected, Unsupported
from tests.engine.asking import ask, make_request
from tests.engine.conftest import Opening
from tests.engine.tiny import write_adapter


async def test_an_adapter_is_applied_and_named(opening: Opening, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter.gguf")
    request = make_request("the quick brown fox", max_tokens=24)
    async with opening("xllamacpp") as engine:
        plain, weights = await ask(engine, request), engine.info.weights
    async with opening("xllamacpp", adapters=(adapter,)) as engine:
        assert engine.info.weights != weights
        assert (await ask(engine, request)).text != plain.text
        named = make_request("x", max_tokens=1, weights=engine.info.weights)
        assert (await ask(engine, named)).pieces


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"rows": 32}, "does not fit"),
        ({"kind": "other"}, "no LoRA adapter"),
        ({"architecture": "qwen2"}, "for qwen2 models"),
        ({"half": "a"}, "no half of a matrix"),
        ({"half": "b"}, "no half of a matrix"),
        ({"half": "none"}, "no tensors"),
    ],
)
def test_what_does_not_fit_is_refused(
    changes: dict[str, str], why: str, tiny: Path, tmp_path: Path
) -> None:
    adapter = write_adapter(tmp_path / "adapter.gguf", **changes)  # type: ignore[arg-type]
    with pytest.raises(ModelRejected, match=why):
        vet_adapters(read_header(tiny), (adapter,))


async def test_who_applies_none_says_so(opening: Opening, tiny: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter.gguf")
    with pytest.raises(Unsupported, match="LoRA"):
        async with opening("ctransformers", adapters=(adapter,)):
            pass
    upstream = UpstreamSpec("http://127.0.0.1:1/v1")
    with pytest.raises(ConfigurationError, match="server's"):
        UpstreamEngine(EngineSpec("upstream", "m", upstream=upstream, adapters=(adapter,)))
    for wrong in (tmp_path / "none.gguf", tiny):
        with pytest.raises(ModelRejected):
            async with opening("xllamacpp", adapters=(wrong,)):
                pass
