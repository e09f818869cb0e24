"""From a model's settings to what is run."""

from pathlib import Path

import pytest

from p2p_modelex.engine.spec import UpstreamSpec
from p2p_modelex.engine.swapping import SwappingEngine
from p2p_modelex.engine.upstream.engine import UpstreamEngine
from p2p_modelex.errors import ConfigurationError
from p2p_modelex.node.assembly import build_spec, open_configured_engine
from p2p_modelex.node.home import Home
from p2p_modelex.node.model_settings import ModelSettings


def test_an_upstream_needs_no_file(tmp_path: Path) -> None:
    settings = ModelSettings(
        model="big",
        engine="upstream",
        kinds=("chat",),
        slots=32,
        upstream_url="http://127.0.0.1:8000/v1",
        upstream_model="org/Big-70B",
        upstream_key_file="key",
        upstream_features=("seed",),
        upstream_weights="ab" * 32,
    )
    home = Home(tmp_path)
    spec = build_spec(home, settings)
    assert (spec.engine, spec.model, spec.kinds, spec.slots) == ("upstream", "big", ("chat",), 32)
    assert spec.weights == bytes.fromhex("ab" * 32)
    assert spec.upstream == UpstreamSpec(
        "http://127.0.0.1:8000/v1", "org/Big-70B", key_file=tmp_path / "key", features=("seed",)
    )
    with pytest.raises(ConfigurationError, match="cannot read the key file"):
        open_configured_engine(home, settings)
    (tmp_path / "key").write_text("sk-1")
    assert isinstance(open_configured_engine(home, settings), UpstreamEngine)


def test_a_model_in_a_file_can_be_swapped(tmp_path: Path) -> None:
    from p2p_modelex.engine.catalogue import Catalogue
    from tests.engine.tiny import write_tiny

    home = Home(tmp_path)
    home.models.mkdir()
    Catalogue(home.models).adopt(write_tiny(tmp_path / "tiny.gguf"), "tiny", source="a test")
    plain = ModelSettings(model="tiny", engine="ctransformers")
    assert build_spec(home, plain).kinds == ("chat", "completion")
    assert isinstance(open_configured_engine(home, plain), SwappingEngine)
    vectors = ModelSettings(model="tiny", kinds=("embedding",))
    assert build_spec(home, vectors).kinds == ("embedding",)
