"""One data directory, one node."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from p2p_modelex.errors import ConfigurationError
from p2p_modelex.node.home import Home, default_home

_HOLDER = """
import sys, time
from pathlib import Path
from p2p_modelex.node.home import Home

with Home(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_place_is_chosen_by_the_environment(tmp_path: Path) -> None:
    assert default_home({"MODELEX_HOME": str(tmp_path)}) == Home(tmp_path)
    assert default_home({"MODELEX_HOME": ""}).path.name == "modelex"
    assert default_home({}).path.is_absolute()


def test_folders_are_made_for_the_owner_only(tmp_path: Path) -> None:
    home = Home(tmp_path / "a" / "b")
    home.create()
    home.create()
    assert not home.exists
    for folder in (home.path, home.models, home.logs, home.receipts):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_place_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot make") as caught:
        Home(tmp_path / "file" / "home").create()
    assert "--home" in caught.value.hint


def test_a_second_node_is_told_who_holds_the_directory(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        in_use = f"in use by process {holder.pid}"
        with pytest.raises(ConfigurationError, match=in_use) as caught, home.lock():
            pass
        assert "--home" in caught.value.hint
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with home.lock():
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_the_lock_ends_with_its_block_even_by_an_error(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with pytest.raises(ZeroDivisionError), home.lock():
        raise ZeroDivisionError
    with home.lock(), pytest.raises(ConfigurationError), home.lock():
        pass


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    home = Home(tmp_path / "none")
    with pytest.raises(ConfigurationError, match="cannot use") as caught, home.lock():
        pass
    assert "modelex init" in caught.value.hint
