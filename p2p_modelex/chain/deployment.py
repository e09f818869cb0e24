"""The network file `bootstrap/<network>/network.toml`: which chain, and our contracts on it."""

import tomllib
from pathlib import Path
from typing import Any

from p2p_modelex.chain.abc import Deployment
from p2p_modelex.errors import BadInput, ConfigurationError
from p2p_modelex.ids import Address, format_address, parse_address
from p2p_modelex.limits import KIB

FILE_BYTES = 64 * KIB

_TEMPLATE = """\
# A Modelex network. Chain id and registry address are part of every signed statement here, so
# nothing signed for one network means anything on another.
name = "{name}"
chain_id = {chain_id}

[contracts]
{contracts}
"""

NEEDED = ("token", "registry", "channels")
"""The contracts that every node uses; a network file without the others is good."""

OTHERS = ("vesting", "ratings", "prompts", "oracle", "blocks", "releases", "wrapped")


def read_deployment(path: Path) -> Deployment:
    """Read a network file; ConfigurationError, naming the field, if it is missing or malformed."""
    try:
        with path.open("rb") as file:
            text = file.read(FILE_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(
            f"cannot read the network file {path}: {error.strerror}",
            hint="name an existing one, or start a devnet, which writes it",
        ) from error
    try:
        if len(text) > FILE_BYTES:
            raise BadInput(f"larger than {FILE_BYTES} bytes")
        return _read_table(tomllib.loads(text.decode()))
    except (BadInput, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"the network file {path} is malformed: {error}",
            hint="it needs name, chain_id, and [contracts] with token, registry and channels",
        ) from error


def list_contracts(deployment: Deployment) -> dict[str, Address]:
    """Return the contracts that a network has, by their names in its file."""
    found = {key: getattr(deployment, key) for key in (*NEEDED, *OTHERS)}
    return {key: address for key, address in found.items() if address is not None}


def write_deployment(path: Path, deployment: Deployment) -> None:
    """Write a network file, with its folder; ConfigurationError if that fails."""
    contracts = list_contracts(deployment)
    text = _TEMPLATE.format(
        name=deployment.name,
        chain_id=deployment.chain_id,
        contracts="\n".join(f'{key} = "{format_address(at)}"' for key, at in contracts.items()),
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        partial.write_text(text)
        partial.replace(path)  # another process never reads half a file
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error


def _read_table(table: dict[str, Any]) -> Deployment:
    contracts = table.get("contracts")
    if not isinstance(contracts, dict):
        raise BadInput("there is no [contracts] table")
    name, chain_id = table.get("name"), table.get("chain_id")
    if not isinstance(name, str) or not name.isidentifier():
        raise BadInput(f"name is a word, not {name!r}")
    if type(chain_id) is not int or not 0 < chain_id < 2**63:
        raise BadInput(f"chain_id is a positive integer, not {chain_id!r}")
    unknown = sorted(contracts.keys() - {*NEEDED, *OTHERS})
    if unknown:
        raise BadInput(f"contracts.{unknown[0]} is nothing that this version knows")
    keys = [*NEEDED, *(key for key in OTHERS if key in contracts)]
    return Deployment(name, chain_id, **{key: _read_address(contracts, key) for key in keys})


def _read_address(contracts: dict[str, Any], key: str) -> Address:
    value = contracts.get(key)
    if not isinstance(value, str):
        raise BadInput(f"contracts.{key} is missing")
    return parse_address(value)
