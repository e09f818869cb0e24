"""Models on this disk: one GGUF file and one JSON entry beside it for each.

An entry is written last and removed first, so a file without one is a leftover, never a model.
"""

import importlib.util
import os
import re
import shutil
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from p2p_modelex.engine.architecture import vet_for_ctransformers, vet_vocabulary
from p2p_modelex.engine.prompt import kinds_of
from p2p_modelex.engine.spec import EngineSpec
from p2p_modelex.engine.vetting import Header, compute_digest, read_header
from p2p_modelex.errors import BadInput, ConfigurationError, ModelRejected, StoreError
from p2p_modelex.ids import Digest
from p2p_modelex.records.advertisement import Kind

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_ENTRY_BYTES = 65_536


class Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An entry. sha256: hexadecimal, of the file. size: bytes. source: where it came from.

    kinds: what it serves. context_length: tokens it was made for. engines: which can run it, best
    first. prompt: how to ask it, with `{text}`, where that is not obvious.
    """

    name: str
    file: Annotated[str, Meta(pattern=r"\A[a-z0-9][a-z0-9._-]{0,68}\Z")]
    sha256: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    size: int
    licence: str
    source: str
    kinds: tuple[Kind, ...]
    context_length: int
    engines: tuple[Annotated[str, Meta(pattern=r"\A[a-z_]{1,64}\Z")], ...]
    prompt: str = ""
    summary: str = ""


def check_name(name: str) -> str:
    """Return the name; BadInput unless it is lower-case letters, digits, `.`, `_`, `-`, at most 64.

    Names become file names and travel in advertisements.
    """
    if not _NAME.fullmatch(name):
        raise BadInput(
            f"{name[:80]!r} is no model name", hint="Use a-z, 0-9, '.', '_', '-': --name my-model."
        )
    return name


def engines_for(header: Header) -> tuple[str, ...]:
    """Return the engines that can run such a file, best first; ModelRejected if none can."""
    vet_vocabulary(header)
    try:
        vet_for_ctransformers(header)
    except ModelRejected:
        return ("xllamacpp",)
    return ("xllamacpp", "ctransformers")


class Catalogue:
    """The models in one directory, which is made when the first is added."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def names(self) -> list[str]:
        """Return the names of all models, sorted."""
        return sorted(file.stem for file in self.directory.glob("*.json"))

    def list(self) -> list[Model]:
        """Return all entries by name. Raises StoreError for a damaged one."""
        return [self.get(name) for name in self.names()]

    def get(self, name: str) -> Model:
        """Return an entry; ConfigurationError if there is none, StoreError if it is damaged."""
        file = self.directory / f"{check_name(name)}.json"
        try:
            with file.open("rb") as entry:
                return msgspec.json.decode(entry.read(_ENTRY_BYTES), type=Model)
        except FileNotFoundError as error:
            have = ", ".join(self.names()) or "none"
            raise ConfigurationError(
                f"there is no model {name!r} here (models: {have})",
                hint=f"modelex models add {name}",
            ) from error
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StoreError(
                f"the entry {file} cannot be read: {error}",
                hint=f"modelex models remove {name}, then add it again.",
            ) from error

    def path_of(self, model: Model) -> Path:
        """Return where the model's file lies."""
        return self.directory / Path(model.file).name

    def remove(self, name: str) -> None:
        """Delete a model; ConfigurationError if there is none."""
        entry = self.directory / f"{check_name(name)}.json"
        if not entry.exists():
            self.get(name)
        entry.unlink()
        (self.directory / f"{name}.gguf").unlink(missing_ok=True)

    def verify(self, name: str) -> Model:
        """Hash the file again; ModelRejected if it is missing or not what was added."""
        model = self.get(name)
        path = self.path_of(model)
        if not path.is_file():
            raise ModelRejected(f"the file of {name} is missing", hint=f"modelex models add {name}")
        if (found := compute_digest(path).hex()) != model.sha256:
            raise ModelRejected(f"{path} has SHA-256 {found}, expected {model.sha256}")
        return model

    def adopt(
        self,
        file: Path,
        name: str,
        *,
        source: str,
        sha256: str = "",
        licence: str = "",
        kinds: tuple[Kind, ...] = (),
        prompt: str = "",
        summary: str = "",
    ) -> Model:
        """Vet a file on this file system, move it in and write its entry.

        sha256: what it must have, hexadecimal, or empty. licence: what to show where the file
        does not say. Raises ModelRejected; the file then stays where it was.
        """
        header = read_header(file)
        engines = engines_for(header)
        found = compute_digest(file).hex()
        if sha256 and found != sha256.lower():
            raise ModelRejected(f"the file has SHA-256 {found}, expected {sha256.lower()}")
        model = Model(
            name=check_name(name),
            file=f"{name}.gguf",
            sha256=found,
            size=file.stat().st_size,
            licence=header.get_text("general.license")[:200] or licence or "not stated",
            source=source,
            kinds=kinds_of(header, kinds),
            context_length=header.context_length,
            engines=engines,
            prompt=prompt,
            summary=summary or header.get_text("general.description")[:500],
        )
        with storing(self.directory):
            os.replace(file, self.path_of(model))  # noqa: PTH105 - atomic, over an older one
            entry = self.directory / f"{name}.json.part"
            entry.write_bytes(msgspec.json.format(msgspec.json.encode(model), indent=2))
            entry.replace(self.directory / f"{name}.json")
        return model

    def spec_for(self, name: str, *, engine: str = "") -> EngineSpec:
        """Return how to run a model. engine: empty for the best one that is installed.

        Raises ConfigurationError if there is no such model or no engine for it is installed.
        """
        model = self.get(name)
        installed = [one for one in model.engines if importlib.util.find_spec(one)]
        if not engine and not installed:
            raise ConfigurationError(
                f"{name} runs in {' or '.join(model.engines)}, which is not installed",
                hint="pip install 'p2p-modelex[llamacpp]'",
            )
        return EngineSpec(
            engine=engine or installed[0],
            model=name,
            path=self.path_of(model),
            weights=Digest(bytes.fromhex(model.sha256)),
            kinds=model.kinds,
        )


class storing:  # noqa: N801 - read as `with storing(directory):`
    """Makes the directory and turns a full or read-only disk into StoreError."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __enter__(self) -> None:
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self.__exit__(OSError, error)

    def __exit__(self, kind: object, error: BaseException | None, *_: object) -> None:
        if isinstance(error, OSError):
            raise StoreError(
                f"cannot write to {self._directory}: {error.strerror or error}",
                hint="Check free space and permissions.",
            ) from error


def check_room(directory: Path, needed: int) -> None:
    """Raise StoreError unless the disk has room for `needed` bytes."""
    with storing(directory):
        free = shutil.disk_usage(directory).free
    if free < needed:
        raise StoreError(
            f"{needed} bytes are needed in {directory}, {free} are free", hint="Free some space."
        )
