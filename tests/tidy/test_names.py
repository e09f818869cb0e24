"""Names that say nothing, and words that promise to finish later, do not enter the house."""

import ast
import re

from tests.tidy.tree import PACKAGE, ROOT, assert_none, files, name_of, read, under

_EMPTY = ("client", "manager", "handler", "helper", "util", "utils", "data", "info")
# Names that the ports were given on purpose.
_ALLOWED = {"EngineInfo", "StreamHandler"}
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# Brackets keep these patterns from matching their own source.
_UNFINISHED = re.compile(r"\b([T]ODO|[F]IXME|[X]XX)\b")
# Where and by whom the code was written is nobody's concern: absolute paths, authors' tools.
_WORKPLACE = re.compile(r"(?<![\w.])/([w]ork|[h]ome|[U]sers|[r]oot)/\w|[C]o-Authored-By")
_PROSE = (".md", ".toml", ".py", ".sol", ".sh", ".json", ".yml", ".yaml", "")


def words(name: str) -> set[str]:
    return {word.lower().rstrip("s") for word in _WORD.findall(name)}


def says_nothing(name: str) -> bool:
    banned = {word.rstrip("s") for word in _EMPTY}
    return name not in _ALLOWED and not banned.isdisjoint(words(name))


def test_modules_have_names_that_say_something() -> None:
    folders = {path.parent.name for path in under(PACKAGE, ".py")}
    modules = {path.stem for path in under(PACKAGE, ".py")}
    bad = sorted(name for name in folders | modules if says_nothing(name))
    assert_none(bad, "say what it is")


def test_classes_have_names_that_say_something() -> None:
    bad = [
        f"{name_of(path)}: {node.name}"
        for path in under(PACKAGE, ".py")
        for node in ast.walk(ast.parse(read(path)))
        if isinstance(node, ast.ClassDef) and says_nothing(node.name)
    ]
    assert_none(bad, "say what it is")


def offenders(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name_of(path)}: {found[0]}"
        for path in files()
        if path.suffix in _PROSE and path.name not in {"requirements.lock", "package-lock.json"}
        if (found := pattern.search(read(path)))
    ]


def test_nothing_is_left_for_later() -> None:
    assert_none(offenders(_UNFINISHED), "finish it, or leave it out")


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    assert_none(offenders(_WORKPLACE), "write a relative path")


def test_the_lock_names_no_host() -> None:
    lock = read(ROOT / "requirements.lock")
    assert re.findall(r"https?://\S+|--(?:extra-)?index-url|--find-links|file:", lock) == []
