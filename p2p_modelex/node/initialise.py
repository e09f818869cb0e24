"""What `modelex init` does: a data directory, its keys, and a configuration with every option."""

import os
import shutil
from pathlib import Path

from p2p_modelex.chain.deployment import read_deployment
from p2p_modelex.errors import BadInput, ConfigurationError
from p2p_modelex.keys.keystore import ACCOUNT_FILE, SCRYPT_N, create_keystore, unlock_keystore
from p2p_modelex.keys.signers import KeyRing
from p2p_modelex.node.configuration import Configuration
from p2p_modelex.node.configuration_file import validate_configuration, write_configuration
from p2p_modelex.node.home import Home


def init_home(
    home: Home,
    configuration: Configuration,
    passphrase: str,
    *,
    deployment_file: Path | None = None,
    account_key: bytes | None = None,
    scrypt_n: int = SCRYPT_N,
) -> KeyRing:
    """Write keys, network file and `modelex.toml` into `home`; returns the unlocked keys.

    deployment_file: copied to where `configuration.network.deployment` says; None if it is there.
    account_key: an EVM key to import, else a new one is made. Keys that lie in `home` already, from
    a backup or an `init` that was cut off, are taken if the passphrase opens them.
    Raises KeystoreError, and ConfigurationError if `home` is initialised or the network file is
    missing or malformed.
    """
    if home.exists:
        raise ConfigurationError(
            f"{home.path} is initialised already",
            hint=f"edit {home.configuration}, or choose another directory with --home",
        )
    try:
        validate_configuration(configuration)
    except BadInput as error:
        raise ConfigurationError(error.message, hint=error.hint) from error
    target = home.path / configuration.network.deployment
    source = target if deployment_file is None else deployment_file
    if not source.is_file():
        raise ConfigurationError(
            f"there is no network file {source}", hint="name one with --network"
        )
    read_deployment(source)
    home.create()
    if account_key is None and (home.keys / ACCOUNT_FILE).exists():
        ring = unlock_keystore(home.keys, passphrase)
    else:
        ring = create_keystore(home.keys, passphrase, account_key=account_key, scrypt_n=scrypt_n)
    _write(home, write_configuration(configuration), source, target)
    return ring


def _write(home: Home, text: str, source: Path, target: Path) -> None:
    draft = home.path / f".modelex.toml.{os.getpid()}"
    try:
        if source.resolve() != target.resolve():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        # Last and at once: a directory with a configuration is a complete one.
        draft.write_text(text, encoding="utf-8")
        draft.replace(home.configuration)
    except OSError as error:
        raise ConfigurationError(
            f"cannot write into {home.path}: {error.strerror}", hint="check owner and free space"
        ) from error
