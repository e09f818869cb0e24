"""The pages made from the code are those that the code makes now."""

import inspect

import msgspec
import pytest

from p2p_modelex import errors
from tests.tidy.references import DOCS, PAGES
from tests.tidy.scenarios import list_structs, split_meanings


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_fresh(name: str) -> None:
    written = (DOCS / name).read_text(encoding="utf-8")
    assert written == PAGES[name](), "run `python -m tests.tidy.references`"


@pytest.mark.parametrize("kind", list_structs(), ids=lambda kind: kind.__name__)
def test_every_key_of_a_scenario_has_a_meaning(kind: type[msgspec.Struct]) -> None:
    prose, meanings = split_meanings(kind)
    assert prose
    assert [name for name in kind.__struct_fields__ if not meanings.get(name)] == []


def test_every_error_says_when_it_is_raised_and_has_its_familys_exit_code() -> None:
    families: dict[int, type] = {}
    for kind in vars(errors).values():
        if inspect.isclass(kind) and issubclass(kind, errors.ModelexError):
            assert kind.__doc__, kind
            first = families.setdefault(kind.exit_code, kind)
            assert issubclass(kind, first), f"{kind} has the exit code of {first}"
            assert 1 <= kind.exit_code < 126, "the shell uses the rest"
