"""Where a contract keeps what in storage, without the ids that depend on what else is compiled."""

# ruff: noqa: INP001 - part of a script, which belongs to no package

import re
from typing import Any

# The compiler ends the names of types that a source declares with their AST ids.
_ID = re.compile(r"(t_(?:struct|enum|contract|userDefinedValueType)\([^()]*\))\d+")


def build_layout(output: dict[str, Any]) -> dict[str, Any]:
    """Return solc's storageLayout without AST ids; ValueError if two types then have one name.

    slot: of the variable or, in a struct, from its first. offset: bytes from the slot's low end.
    """
    types: dict[str, Any] = {}
    for name, described in (output["types"] or {}).items():
        cleaned = {key: _clean(value) for key, value in sorted(described.items())}
        if types.setdefault(_strip(name), cleaned) != cleaned:
            raise ValueError(f"two types are called {_strip(name)}")
    return {"storage": _clean(output["storage"]), "types": dict(sorted(types.items()))}


def _clean(value: Any) -> Any:
    """Return a type's field, or a list of variables, without ids."""
    if isinstance(value, str):
        return _strip(value)
    return [
        {key: _strip(str(variable[key])) for key in ("label", "slot", "type")}
        | {"offset": variable["offset"]}
        for variable in value
    ]


def _strip(name: str) -> str:
    return _ID.sub(r"\1", name)
