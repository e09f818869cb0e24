"""The pages made from the code are those that the code makes now."""

import inspect

import pytest

from p2p_modelex import errors
from tests.tidy.references import DOCS, PAGES


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_fresh(name: str) -> None:
    written = (DOCS / name).read_text(encoding="utf-8")
    assert written == PAGES[name](), "run `python -m tests.tidy.references`"


def test_every_error_says_when_it_is_raised_and_has_its_familys_exit_code() -> None:
    families: dict[int, type] = {}
    for kind in vars(errors).values():
        if inspect.isclass(kind) and issubclass(kind, errors.ModelexError):
            assert kind.__doc__, kind
            first = families.setdefault(kind.exit_code, kind)
            assert issubclass(kind, first), f"{kind} has the exit code of {first}"
            assert 1 <= kind.exit_code < 126, "the shell uses the rest"
