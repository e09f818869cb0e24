"""Every test that the table of contracts/SECURITY.md names is there."""

import re

import pytest

from tests.contracts.tools import CONTRACTS

TESTS = {
    path.name.removesuffix(".t.sol"): re.findall(r"function (test\w+)\(", path.read_text())
    for path in sorted((CONTRACTS / "test").glob("*.t.sol"))
}
# | attack | on | `file.test`, `test`, `...rest of a name` |
ROW = re.compile(r"^\|[^|]*\|[^|]*\|([^|]*test_[^|]*)\|$", re.MULTILINE)
PAGE = (CONTRACTS / "SECURITY.md").read_text()
NAMED = [name for cell in ROW.findall(PAGE) for name in re.findall(r"`([^`]+)`", cell)]


def find_named(name: str) -> set[tuple[str, str]]:
    """The tests, with their files, that a name of the table stands for."""
    files = [file for file in TESTS if name.startswith(file + ".test")] or list(TESTS)
    wanted = name.removeprefix(files[0] + ".")
    pattern = re.escape(wanted).replace(re.escape("..."), r"\w*")
    return {(f, test) for f in files for test in TESTS[f] if re.fullmatch(pattern, test)}


@pytest.mark.parametrize("name", NAMED)
def test_a_named_test_is_there(name: str) -> None:
    assert find_named(name)


def test_every_attack_that_we_try_is_named() -> None:
    tried = {(file, test) for file, found in TESTS.items() for test in found if "_attack_" in test}
    assert sorted(tried - {test for name in NAMED for test in find_named(name)}) == []
