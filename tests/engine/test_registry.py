from importlib.metadata import EntryPoint

import pytest

from p2p_modelex.engine import registry
from p2p_modelex.engine.memory import MemoryEngine
from p2p_modelex.engine.process import ProcessEngine
from p2p_modelex.engine.spec import EngineSpec, decode_spec, encode_spec
from p2p_modelex.errors import ConfigurationError, Unsupported


def test_engines_are_found_by_name() -> None:
    assert registry.engine_names() == ["ctransformers", "memory", "upstream", "xllamacpp"]
    assert isinstance(registry.open_engine(EngineSpec("memory", "m")), MemoryEngine)
    assert isinstance(registry.open_engine(EngineSpec("xllamacpp", "m")), ProcessEngine)
    for opening in (registry.open_engine, registry.open_backend):
        with pytest.raises(ConfigurationError, match="no engine 'gpt'") as caught:
            opening(EngineSpec("gpt", "m"))
        assert "ctransformers" in caught.value.hint


def test_what_is_registered_wrongly_or_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def register(group: str, value: str) -> None:
        point = EntryPoint("odd", value, group)
        monkeypatch.setattr(
            registry, "entry_points", lambda group: [point] if group == point.group else []
        )

    register(registry.BACKENDS, "no_such_package:Backend")
    with pytest.raises(Unsupported, match="not installed") as caught:
        registry.open_backend(EngineSpec("odd", "m"))
    assert "pip install" in caught.value.hint
    register(registry.BACKENDS, "builtins:int")
    with pytest.raises(ConfigurationError, match="registered as"):
        registry.open_backend(EngineSpec("odd", "m"))
    register(registry.ENGINES, "builtins:repr")
    with pytest.raises(ConfigurationError, match="registered as"):
        registry.open_engine(EngineSpec("odd", "m"))


def test_specs_cross_a_command_line() -> None:
    from pathlib import Path

    spec = EngineSpec("ctransformers", "m", Path("/tmp/a b.gguf"), kinds=("chat",), stall_s=2.5)
    assert decode_spec(encode_spec(spec)) == spec
