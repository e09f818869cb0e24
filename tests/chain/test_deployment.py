from pathlib import Path

import pytest

from p2p_modelex.chain.abc import Deployment
from p2p_modelex.chain.deployment import read_deployment, write_deployment
from p2p_modelex.errors import ConfigurationError
from p2p_modelex.ids import Address

_DEPLOYMENT = Deployment(
    "devnet", 31337, Address(b"\x0a" * 20), Address(b"\x0b" * 20), Address(b"\x0c" * 20)
)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "network.toml"
    write_deployment(path, _DEPLOYMENT)
    write_deployment(path, _DEPLOYMENT)
    assert read_deployment(path) == _DEPLOYMENT
    assert [entry.name for entry in path.parent.iterdir()] == ["network.toml"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("31337", "0", "chain_id"),
        ("31337", "true", "chain_id"),
        ('"devnet"', '"dev net"', "name"),
        ("[contracts]", "[other]", "no .contracts. table"),
        ("0x0a0a", "0x0a", "not an EVM address"),
        ("0x0a0a", "0xzz0a", "not an EVM address"),
        ("token =", "tokens =", "contracts.tokens is nothing"),
        ("channels =", "# channels =", "contracts.channels is missing"),
        ("chain_id =", "chain_id", "Expected"),
    ],
)
def test_a_malformed_file_is_refused_by_field(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    path = tmp_path / "network.toml"
    write_deployment(path, _DEPLOYMENT)
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ConfigurationError, match=says) as caught:
        read_deployment(path)
    assert caught.value.hint


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot read"):
        read_deployment(tmp_path / "none.toml")
    path = tmp_path / "network.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="malformed"):
        read_deployment(path)
    path.write_bytes(b"#" * 70_000)
    with pytest.raises(ConfigurationError, match="larger"):
        read_deployment(path)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot write"):
        write_deployment(tmp_path / "file" / "network.toml", _DEPLOYMENT)


def test_the_devnets_own_file_is_readable() -> None:
    path = Path(__file__).parents[2] / "bootstrap" / "devnet" / "network.toml"
    assert read_deployment(path).chain_id == 31337
