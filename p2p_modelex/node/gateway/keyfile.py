"""API keys of a home: who may ask, for how much and how often. `modelex keys` writes the file.

A key is 256 random bits, so one SHA-256 of it is as good as a slow hash, and is all that is kept.
What a key has spent is not here but in the node's database (entry.py).
"""

import hashlib
import re
import secrets
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from p2p_modelex.errors import BadInput, ConfigurationError
from p2p_modelex.limits import KIB
from p2p_modelex.node.files import replace_file
from p2p_modelex.units import Epoch, Wei, format_ai, parse_ai

KEYS_MAX = 1000
FILE_BYTES = 512 * KIB
RATE_MAX = 1_000_000
_PREFIX = "mdx-"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


class ApiKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One key. digest: SHA-256 of its text, hexadecimal. budget: AI as text, of split epoch
    `epoch`; null for no limit. rate: requests a minute, null for no limit.
    """

    name: str
    digest: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    budget: str | None
    epoch: Annotated[int, Meta(ge=0, le=64)]
    rate: Annotated[int, Meta(ge=1, le=RATE_MAX)] | None

    @property
    def budget_wei(self) -> Wei | None:
        """The budget in wei of its epoch."""
        return None if self.budget is None else parse_ai(self.budget)


def digest_of(secret: str) -> str:
    """Return what is kept of a key's text."""
    return hashlib.sha256(secret.encode()).hexdigest()


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """Return the keys, none if there is no file. ConfigurationError if it is damaged."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    try:
        keys = msgspec.json.decode(content[: FILE_BYTES + 1], type=tuple[ApiKey, ...])
        for key in keys:
            assert key.budget_wei is None or key.budget_wei >= 0
    except (msgspec.MsgspecError, BadInput) as error:
        raise ConfigurationError(
            f"{path} is damaged: {error}", hint="modelex keys add writes it; remove what is wrong"
        ) from error
    return keys


def add_key(path: Path, name: str, budget: Wei | None, epoch: Epoch, rate: int | None) -> str:
    """Add a key and return its text, which is nowhere else. Raises BadInput, ConfigurationError."""
    keys = read_keys(path)
    if _NAME.fullmatch(name) is None:
        raise BadInput(f"not a key's name: {name[:80]!r}", hint="letters, digits, . _ -; up to 64")
    if any(key.name == name for key in keys):
        raise BadInput(f"there is a key {name} already", hint=f"modelex keys remove {name}")
    if len(keys) >= KEYS_MAX:
        raise BadInput(f"there are {KEYS_MAX} keys already", hint="modelex keys remove NAME")
    secret = _PREFIX + secrets.token_urlsafe(32)
    shown = None if budget is None else format_ai(budget).removesuffix(" AI")
    _write(path, (*keys, ApiKey(name, digest_of(secret), shown, epoch, rate)))
    return secret


def remove_key(path: Path, name: str) -> None:
    """Take a key away; a gateway that runs refuses it from its next request on. Raises BadInput."""
    keys = read_keys(path)
    left = tuple(key for key in keys if key.name != name)
    if len(left) == len(keys):
        raise BadInput(f"there is no key {name[:80]!r}", hint="modelex keys list")
    _write(path, left)


def _write(path: Path, keys: tuple[ApiKey, ...]) -> None:
    try:
        replace_file(path, msgspec.json.format(msgspec.json.encode(keys), indent=2) + b"\n")
    except OSError as error:
        raise ConfigurationError(
            f"cannot write {path}: {error.strerror}", hint="check owner and free space"
        ) from error
