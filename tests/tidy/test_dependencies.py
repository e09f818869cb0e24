"""Every dependency earns its place in docs/dependencies.md, and nothing else stands there."""

import json
import re
import tomllib
from collections.abc import Iterator

from tests.tidy.tree import ROOT, read

PAGE = ROOT / "docs" / "dependencies.md"
_REQUIREMENT = re.compile(r"^[A-Za-z0-9._-]+")
# - `name`: why
_LISTED = re.compile(r"^- `([^`]+)`: \S", re.MULTILINE)


def declared() -> Iterator[str]:
    project = tomllib.loads(read(ROOT / "pyproject.toml"))
    lists = [
        project["build-system"]["requires"],
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        *project["dependency-groups"].values(),
    ]
    for requirements in lists:
        for requirement in requirements:
            match = _REQUIREMENT.match(requirement)
            assert match, requirement
            yield match[0].lower()
    package = ROOT / "contracts" / "package.json"
    if package.exists():
        content = json.loads(read(package))
        for group in ("dependencies", "devDependencies", "optionalDependencies"):
            yield from content.get(group, {})


def test_every_dependency_is_explained_and_every_explanation_is_a_dependency() -> None:
    listed = _LISTED.findall(read(PAGE))
    assert sorted(listed) == sorted(set(listed))
    assert set(listed) == set(declared())


def test_every_python_dependency_is_locked() -> None:
    locked = set(
        re.findall(r"^([A-Za-z0-9._-]+)==", read(ROOT / "requirements.lock"), re.MULTILINE)
    )
    project = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]["dependencies"]
    names = {_REQUIREMENT.match(item)[0].lower() for item in project}  # type: ignore[index]
    assert names - {name.lower() for name in locked} == set()
