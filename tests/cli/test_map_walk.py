"""The walk of docs/map.md, as it stands there, over a mesh of processes and a real model."""

import json
import shlex
from pathlib import Path

import pytest

from p2p_modelex.demo.mesh import Mesh
from tests.cli.conftest import Modelex
from tests.tidy.tree import ROOT


def read_walk() -> list[str]:
    """The lines of the first block of commands."""
    text = (ROOT / "docs" / "map.md").read_text(encoding="utf-8")
    block = text[text.index("    cat > rate.json") :].split("\n\n")[0]
    return [line.removeprefix("    ") for line in block.splitlines()]


@pytest.mark.slow
def test_the_walk_does_what_the_page_says(
    modelex: Modelex, mesh: Mesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELEX_HOME", str(mesh.homes["client"].path))
    lines, maps = iter(read_walk()), []
    for line in lines:
        if line.startswith("cat > "):
            content = "".join(f"{text}\n" for text in iter(lambda: next(lines), "END"))
            (tmp_path / line.split()[2]).write_text(content)
        else:
            command = shlex.split(line, comments=True)
            assert command[0] == "modelex"
            maps.append(modelex(*command[1:], "--json"))
    assert [said.code for said in maps] == [0, 0], maps
    first, again = (json.loads(said.out) for said in maps)
    assert first == again
    assert first["jobs"] == first["receipts"] == 2
    good, bad = (json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines())
    assert (good["id"], bad["id"]) == ("a", "b")
    assert int(good["text"]) > int(bad["text"])
    assert good["receipt"] != bad["receipt"]
