"""Folders mirror each other, files and functions stay small, vectors are read, floors hold."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tidy.tree import PACKAGE, PROTOCOLS, ROOT, assert_none, name_of, read, under

FILE_LINES = 500
FUNCTION_LINES = 70
# Pages whose code is a folder of its own, outside core/.
_ELSEWHERE = {"records", "transport"}
# Folders of core/ whose rules bind nobody else.
_PRIVATE = {"mapping"}

CODE = [path for path in under(ROOT, ".py", ".sol", ".sh") if "node_modules" not in path.parts]
PYTHON = [path for path in CODE if path.suffix == ".py"]


def folders(parent: Path, *, holding: str) -> set[str]:
    return {path.parent.name for path in parent.glob(f"*/{holding}")}


def test_core_and_protocols_mirror_each_other() -> None:
    machines = folders(PACKAGE / "core", holding="__init__.py") - _PRIVATE
    pages = folders(PROTOCOLS, holding="README.md")
    assert pages - _ELSEWHERE == machines


def test_no_file_is_longer_than_the_wall() -> None:
    lengths = {name_of(path): read(path).count("\n") for path in CODE}
    long = {name: lines for name, lines in lengths.items() if lines > FILE_LINES}
    assert_none(long, f"over {FILE_LINES} lines")


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_no_function_is_longer_than_the_wall() -> None:
    long = {
        f"{name_of(path)}:{function.lineno} {function.name}": lines
        for path in PYTHON
        for function in functions(ast.parse(read(path)))
        if (lines := (function.end_lineno or 0) - function.lineno + 1) > FUNCTION_LINES
    }
    assert_none(long, f"over {FUNCTION_LINES} lines")


def test_every_vector_file_is_read_by_a_test() -> None:
    readers = [
        read(path)
        for path in [
            *under(ROOT / "tests", ".py"),
            *under(ROOT / "contracts" / "test", ".sol"),
        ]
        if "def test_" in read(path) or "function test" in read(path)
    ]
    unread = [
        name_of(path)
        for path in under(PROTOCOLS, ".json")
        if not any(path.name in text or f'"{path.stem}"' in text for text in readers)
    ]
    assert_none(unread, "read the file in a test")


@pytest.mark.parametrize("path", under(PROTOCOLS, ".json"), ids=name_of)
def test_every_vector_file_says_its_format_and_rules(path: Path) -> None:
    content = json.loads(path.read_text(encoding="ascii"))
    assert f"### {content['format']}" in read(PROTOCOLS / "README.md") + read(
        path.parents[1] / "README.md"
    )
    assert content["rules"]


@pytest.mark.slow
def test_imports_go_down_the_floors_only() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_help_starts_light() -> None:
    script = (
        "import sys\n"
        "from p2p_modelex.cli import main\n"
        "sys.argv = ['modelex', '--help']\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as leave:\n"
        "    assert not leave.code, leave.code\n"
        "heavy = {'libp2p', 'web3', 'eth_account', 'ctransformers', 'xllamacpp', 'gguf', 'numpy'}\n"
        "loaded = sorted(heavy & set(sys.modules))\n"
        "assert not loaded, loaded\n"
    )
    if "main" not in read(PACKAGE / "cli" / "__init__.py"):
        pytest.skip("there is no command line yet")
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
