"""Every committed input through its target, without a fuzzer: what once failed fails no more."""

import importlib
from collections.abc import Callable

import pytest

from tests.fuzz import places

# Enough of the cheap ones; `make fuzz` runs what it has learnt besides.
NAMES = places.target_names()


def load(name: str) -> Callable[[bytes], None]:
    run: Callable[[bytes], None] = importlib.import_module(f"tests.fuzz.targets.{name}").run
    return run


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_committed_input(name: str) -> None:
    run = load(name)
    files = places.inputs(name)
    assert files, "commit some seeds"
    for file in files:
        try:
            run(file.read_bytes())
        except Exception as error:
            raise AssertionError(f"{file.relative_to(places.ROOT)} fails: {error!r}") from error


@pytest.mark.parametrize("name", NAMES)
def test_short_inputs_are_inputs_too(name: str) -> None:
    run = load(name)
    for content in (b"", b"\0", b"\x7f\x7f", b"\xff\xff"):
        run(content)


def test_every_folder_belongs_to_a_target() -> None:
    kept = {
        folder.name
        for parent in (places.CORPUS, places.REGRESSIONS)
        for folder in parent.glob("*")
        if folder.is_dir()
    }
    assert kept <= set(NAMES)
