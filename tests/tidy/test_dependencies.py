"""Every dependency earns its place in docs/dependencies.md, and nothing else stands there."""

import json
import re
import tomllib
from collections.abc import Iterator

from packaging.requirements import Requirement

from tests.tidy.tree import ROOT, read

LOCK = ROOT / "requirements.lock"
PAGE = ROOT / "docs" / "dependencies.md"
# - `name`: why
_LISTED = re.compile(r"^- `([^`]+)`: \S", re.MULTILINE)


# Installed by its own target, on the platforms that have a wheel of it.
_UNLOCKED = {"atheris"}


def requirements() -> Iterator[Requirement]:
    project = tomllib.loads(read(ROOT / "pyproject.toml"))
    lists = [
        project["build-system"]["requires"],
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        *project["dependency-groups"].values(),
    ]
    yield from (Requirement(text) for texts in lists for text in texts)


def declared() -> Iterator[str]:
    yield from (requirement.name for requirement in requirements())
    package = ROOT / "contracts" / "package.json"
    if package.exists():
        content = json.loads(read(package))
        for group in ("dependencies", "devDependencies", "optionalDependencies"):
            yield from content.get(group, {})


def test_every_dependency_is_explained_and_every_explanation_is_a_dependency() -> None:
    listed = _LISTED.findall(read(PAGE))
    assert sorted(listed) == sorted(set(listed))
    assert set(listed) == set(declared())


def test_the_lock_satisfies_every_python_requirement() -> None:
    locked = dict(re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\\s]+)", read(LOCK), re.MULTILINE))
    unmet = {
        str(wanted): locked.get(wanted.name)
        for wanted in requirements()
        if wanted.name not in _UNLOCKED and locked.get(wanted.name, "0") not in wanted.specifier
    }
    assert unmet == {}, "run: make lock"
