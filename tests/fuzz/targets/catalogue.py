"""Entries of the model catalogue that were damaged or put there: a model, or an error of ours."""

from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from p2p_modelex.engine.catalogue import Catalogue
from p2p_modelex.errors import ModelexError
from tests.fuzz import trees
from tests.fuzz.choices import Choices

_GOOD: dict[str, Any] = {
    "name": "tiny",
    "file": "tiny.gguf",
    "sha256": "00" * 32,
    "size": 1,
    "licence": "MIT",
    "source": "here",
    "kinds": ["chat", "score"],
    "context_length": 512,
    "engines": ["ctransformers"],
    "prompt": "{text}",
    "summary": "",
}
_LIKE = ("..", "../x", "/etc/passwd", "", ".", "a\0b", "0g" * 32, "00", "a.b", "sys", "xllamacpp")
_FOLDER = Path(mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))


def run(content: bytes) -> None:
    choices = Choices(content)
    value: Any = _GOOD
    if choices.chance(64):
        written = choices.rest()
    else:
        for _ in range(choices.below(4)):
            value = trees.bend(value, choices, _LIKE)
        written = trees.write_json(value)
    (_FOLDER / "tiny.json").write_bytes(written)
    catalogue = Catalogue(_FOLDER)
    with suppress(ModelexError):
        model = catalogue.get("tiny")
        path = catalogue.path_of(model)
        assert path.parent == _FOLDER, "a file outside the catalogue"
        spec = catalogue.spec_for("tiny")
        assert spec.weights is not None
        assert len(spec.weights) == 32
    with suppress(ModelexError):
        catalogue.verify("tiny")
    with suppress(ModelexError):
        catalogue.list()
