"""What a deployment has done so far, on disk before the next transaction goes out."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import msgspec

from p2p_modelex.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Created:
    """A contract that exists. gas: used by its transaction, 0 where it is not known any more."""

    address: str
    transaction: str
    gas: int


@dataclass(slots=True)
class Journal:
    """A deployment's record; `path` None keeps it in memory. planned: where the transaction under
    way will put its contract, by name.
    """

    path: Path | None
    chain_id: int
    deployer: str
    created: dict[str, Created] = field(default_factory=dict)
    planned: dict[str, str] = field(default_factory=dict)

    def plan(self, key: str, address: str) -> None:
        """Note where the next transaction will create."""
        self.planned = {key: address}
        self._write()

    def note(self, key: str, created: Created) -> None:
        """Note that a contract exists."""
        self.created[key] = created
        self.planned.pop(key, None)
        self._write()

    def _write(self) -> None:
        if self.path is None:
            return
        kept = {
            "chain_id": self.chain_id,
            "deployer": self.deployer,
            "created": {key: asdict(created) for key, created in self.created.items()},
            "planned": self.planned,
        }
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            partial = self.path.with_name(self.path.name + ".partial")
            partial.write_text(json.dumps(kept, indent=1) + "\n")
            partial.replace(self.path)
        except OSError as error:
            raise ConfigurationError(f"cannot write {self.path}: {error.strerror}") from error


class _Kept(msgspec.Struct, forbid_unknown_fields=True):
    chain_id: int
    deployer: str
    created: dict[str, Created]
    planned: dict[str, str]


def open_journal(path: Path | None, chain_id: int, deployer: str) -> Journal:
    """Return the journal at `path`, new or as it was left.

    ConfigurationError if it cannot be read or is of another chain or deployer.
    """
    if path is None or not path.exists():
        return Journal(path, chain_id, deployer)
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigurationError(f"cannot read the deployment's journal {path}: {error}") from error
    if (kept.chain_id, kept.deployer) != (chain_id, deployer):
        raise ConfigurationError(
            f"{path} is of a deployment to chain {kept.chain_id} by {kept.deployer}",
            hint="go on with that account and endpoint, or give the network another name",
        )
    return Journal(path, chain_id, deployer, kept.created, kept.planned)
