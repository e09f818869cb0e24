"""Where targets, their seeds and what they found lie."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
REGRESSIONS = HERE / "regressions"
CRASHES = HERE / "crashes"
WORK = HERE / "work"


def target_names() -> list[str]:
    return sorted(file.stem for file in (HERE / "targets").glob("[a-z]*.py"))


def folders(name: str) -> list[Path]:
    """The committed inputs of a target: seeds, and what once failed."""
    return [folder for folder in (CORPUS / name, REGRESSIONS / name) if folder.is_dir()]


def inputs(name: str) -> list[Path]:
    return sorted(file for folder in folders(name) for file in folder.iterdir() if file.is_file())
