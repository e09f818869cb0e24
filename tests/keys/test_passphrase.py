"""The passphrase: environment, file, prompt, in that order."""

from collections.abc import Callable
from pathlib import Path

import pytest

from p2p_modelex.errors import KeystoreError
from p2p_modelex.keys.passphrase import read_passphrase


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "passphrase"
    path.write_text("from file \nsecond line\n")
    path.chmod(0o600)
    return path


def _answers(*answers: str) -> Callable[[str], str]:
    left = list(answers)
    return lambda _: left.pop(0)


def test_the_order_is_environment_file_prompt(file: Path) -> None:
    environ = {"MODELEX_PASSPHRASE": "from environment"}
    prompt = _answers("from prompt")
    assert read_passphrase(file, environ=environ, prompt=prompt) == "from environment"
    assert read_passphrase(file, environ={}, prompt=prompt) == "from file "
    assert read_passphrase(None, environ={}, prompt=prompt) == "from prompt"


def test_a_new_passphrase_is_asked_twice() -> None:
    assert read_passphrase(None, environ={}, prompt=_answers("a", "a"), confirm=True) == "a"
    with pytest.raises(KeystoreError, match="differ"):
        read_passphrase(None, environ={}, prompt=_answers("a", "b"), confirm=True)


def test_none_at_all_names_the_ways_to_give_one() -> None:
    with pytest.raises(KeystoreError) as caught:
        read_passphrase(None, environ={}, prompt=None)
    assert "MODELEX_PASSPHRASE" in caught.value.hint

    def closed(_: str) -> str:
        raise EOFError

    with pytest.raises(KeystoreError, match="no passphrase"):
        read_passphrase(None, environ={}, prompt=closed)


def test_an_empty_one_is_refused_wherever_it_comes_from(file: Path) -> None:
    file.write_text("")
    with pytest.raises(KeystoreError, match="empty"):
        read_passphrase(file, environ={"MODELEX_PASSPHRASE": ""})
    with pytest.raises(KeystoreError, match="empty"):
        read_passphrase(file, environ={})
    with pytest.raises(KeystoreError, match="empty"):
        read_passphrase(None, environ={}, prompt=_answers(""))


def test_a_loose_or_binary_file_is_refused(file: Path) -> None:
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(KeystoreError, match="UTF-8"):
        read_passphrase(file, environ={}, prompt=None)
    file.chmod(0o644)
    with pytest.raises(KeystoreError, match="others can read"):
        read_passphrase(file, environ={}, prompt=None)
