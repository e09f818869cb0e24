"""What `modelex init` leaves behind."""

from pathlib import Path

import pytest

from p2p_modelex.errors import ConfigurationError, KeystoreError
from p2p_modelex.keys.keystore import unlock_keystore
from p2p_modelex.node.configuration import Configuration, NetworkSettings
from p2p_modelex.node.configuration_file import read_configuration
from p2p_modelex.node.home import Home
from p2p_modelex.node.initialise import init_home
from p2p_modelex.node.model_settings import ModelSettings

CONFIGURATION = Configuration(role="provider", models=(ModelSettings("m"),))
CHEAP = 2
NETWORK = """\
name = "devnet"
chain_id = 31337

[contracts]
token = "0x0000000000000000000000000000000000000001"
registry = "0x0000000000000000000000000000000000000002"
channels = "0x0000000000000000000000000000000000000003"
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def network(tmp_path: Path) -> Path:
    path = tmp_path / "devnet.toml"
    path.write_text(NETWORK)
    return path


def test_a_new_home_is_complete(home: Home, network: Path) -> None:
    ring = init_home(home, CONFIGURATION, "x", deployment_file=network, scrypt_n=CHEAP)
    assert home.exists
    assert read_configuration(home.configuration, environ={}) == CONFIGURATION
    assert unlock_keystore(home.keys, "x").account.address == ring.account.address
    assert (home.path / "network.toml").read_text() == network.read_text()
    assert not [path for path in home.path.iterdir() if path.name.startswith(".")]


def test_a_home_is_not_initialised_twice(home: Home, network: Path) -> None:
    init_home(home, CONFIGURATION, "x", deployment_file=network, scrypt_n=CHEAP)
    before = home.configuration.read_bytes()
    with pytest.raises(ConfigurationError, match="initialised already"):
        init_home(home, Configuration(), "x", deployment_file=network, scrypt_n=CHEAP)
    assert home.configuration.read_bytes() == before


def test_keys_of_a_backup_or_of_an_init_cut_off_are_taken(home: Home, network: Path) -> None:
    ring = init_home(home, CONFIGURATION, "x", deployment_file=network, scrypt_n=CHEAP)
    home.configuration.unlink()
    with pytest.raises(KeystoreError, match="wrong passphrase"):
        init_home(home, CONFIGURATION, "y", deployment_file=network, scrypt_n=CHEAP)
    again = init_home(home, CONFIGURATION, "x", deployment_file=network, scrypt_n=CHEAP)
    assert again.peer.peer == ring.peer.peer


def test_an_absolute_network_file_is_used_where_it_is(home: Home, network: Path) -> None:
    configuration = Configuration(network=NetworkSettings(deployment=str(network)))
    init_home(home, configuration, "x", scrypt_n=CHEAP)
    assert not (home.path / "network.toml").exists()


def test_nothing_is_made_if_something_is_wrong(home: Home, network: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no network file"):
        init_home(home, CONFIGURATION, "x", deployment_file=tmp_path / "none", scrypt_n=CHEAP)
    damaged = tmp_path / "damaged.toml"
    damaged.write_text('name = "devnet"\n')
    with pytest.raises(ConfigurationError, match=r"damaged\.toml"):
        init_home(home, CONFIGURATION, "x", deployment_file=damaged, scrypt_n=CHEAP)
    with pytest.raises(ConfigurationError, match="no model to sell"):
        init_home(home, Configuration(role="provider"), "x", deployment_file=network)
    assert not home.path.exists()


def test_a_home_that_cannot_be_written_is_named(home: Home, network: Path) -> None:
    home.create()
    (home.path / "network.toml").mkdir()
    with pytest.raises(ConfigurationError, match="cannot write into") as caught:
        init_home(home, CONFIGURATION, "x", deployment_file=network, scrypt_n=CHEAP)
    assert "free space" in caught.value.hint
    assert not home.exists
