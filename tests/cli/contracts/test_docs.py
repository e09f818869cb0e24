"""docs/commands.md: the commands on a development chain, in their order, as they are printed."""

import re
import shlex
from pathlib import Path
from string import Template

import pytest

from tests.cli.conftest import Modelex
from tests.cli.contracts.conftest import Chain
from tests.tidy.tree import ROOT

PAGE = (ROOT / "docs" / "commands.md").read_text()
_KEY = re.compile(r"echo ([0-9a-f]{64}) > (\w+\.key)")


def read_walk() -> list[str]:
    """Return the lines of the walk through a development chain."""
    _, walk = PAGE.split("## On a development chain\n")
    return [line.strip() for line in walk.splitlines() if line.startswith("    ")]


def test_the_commands_work_as_printed(
    chain: Chain, modelex: Modelex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    on = f"--rpc {chain.url} --network-file {chain.network_file}"
    names = {"ON": on, "AS": f"{on} --key-file owner.key"}
    ran = 0
    for line in read_walk():
        if key := _KEY.search(line):
            Path(key[2]).touch(0o600)
            Path(key[2]).write_text(key[1])
        if line.startswith("modelex "):
            command, _, target = Template(line).substitute(names).partition(" > ")
            said = modelex(*shlex.split(command)[1:])
            assert said.code == 0, (line, said)
            if target:
                Path(target).write_text(said.out)
            if found := re.search(r"^farm +(0x[0-9a-f]{40})$", said.out, re.MULTILINE):
                names["FARM"] = found[1]
            ran += 1
    assert ran > 25


def test_every_command_is_listed(modelex: Modelex) -> None:
    for group in ("token", "registry", "ratings", "farm"):
        out = modelex(group, "--help").out
        for command in re.findall(r"^  ([a-z-]+)  ", out.split("Commands:")[1], re.MULTILINE):
            assert f"`{command}`" in PAGE or f"`modelex {group} {command}`" in PAGE, command
