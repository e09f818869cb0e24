"""What `modelex init` does: a data directory, its keys, and a configuration with every option."""


from p2p_modelex.keys.keystore import SCRYPT_N
from p2p_modelex.keys.signers import KeyRing
from p2p_modelex.node.configuration import Configuration
from p2p_modelex.node.home import Home


def init_home(
    home: Home,
    configuration: Configuration,
    passphrase: str,
    *,
    account_key: bytes | None = None,
    scrypt_n: int = SCRYPT_N,
) -> KeyRing:
    """Write keys and `modelex.toml` into `home`; the deployment file it names must exist.

    Raises ConfigurationError if `home` is already initialised, KeystoreError.
    """
    raise NotImplementedError
