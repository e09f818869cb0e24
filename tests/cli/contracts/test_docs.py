"""The walks through a development chain in docs/, in their order, as they are printed."""

import re
import shlex
import subprocess
from pathlib import Path
from string import Template

import pytest

from tests.cli.conftest import Modelex
from tests.cli.contracts.conftest import Chain
from tests.tidy.tree import ROOT

PAGES = {
    "commands.md": ("token", "registry", "ratings", "farm"),
    "dapps.md": ("oracle", "feed", "templates", "blocks", "releases"),
}
_NAMED = re.compile(r"export (\w+)=0x…")


def read(page: str) -> str:
    return (ROOT / "docs" / page).read_text()


def read_walk(page: str) -> list[str]:
    """Return the lines of the walk through a development chain."""
    _, rest = read(page).split("## On a development chain\n")
    walk, *_ = rest.split("\n## ")
    return [line.strip() for line in walk.splitlines() if line.startswith("    ")]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_work_as_printed(
    page: str, chain: Chain, modelex: Modelex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    on = f"--rpc {chain.url} --network-file {chain.network_file}"
    names = {"ON": on, "AS": f"{on} --key-file owner.key"}
    ran, out = 0, ""
    for line in read_walk(page):
        if line.startswith("modelex "):
            command, _, target = Template(line).substitute(names).partition(" > ")
            said = modelex(*shlex.split(command)[1:])
            assert said.code == 0, (line, said)
            ran, out = ran + 1, said.out
            if target:
                Path(target).write_text(out)
        elif named := _NAMED.match(line):
            label = named[1].lower().replace("_", " ")
            found = re.search(rf"^{label} +(0x[0-9a-f]+)$", out, re.MULTILINE)
            assert found is not None, (line, out)
            names[named[1]] = found[1]
        elif not line.startswith("export "):
            subprocess.run(["sh", "-c", line], check=True, cwd=tmp_path)
    assert ran > 25


@pytest.mark.parametrize("page", PAGES)
def test_every_command_is_listed(page: str, modelex: Modelex) -> None:
    text = read(page)
    for group in PAGES[page]:
        out = modelex(group, "--help").out
        for command in re.findall(r"^  ([a-z-]+)  ", out.split("Commands:")[1], re.MULTILINE):
            assert f"`{command}`" in text or f"`modelex {group} {command}`" in text, command
