"""Writing a scenario as TOML that reads back as the same one: what is not the default, and no more.

Traces keep their scenario so, and what was shrunk or drawn by chance is handed out so.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from p2p_modelex.simulation.scenario.quantities import write_quantity
from p2p_modelex.simulation.scenario.tables import Scenario


def write_scenario(scenario: Scenario) -> str:
    """Return the text of a scenario: `parse_scenario` makes the same one of it."""
    plain, tables = [], []
    for name, value in find_changed(scenario):
        if isinstance(value, msgspec.Struct):
            tables.append(_write_table(f"[{name}]", value))
        elif isinstance(value, tuple):
            tables += [_write_table(f"[[{name}]]", one) for one in value]
        else:
            plain.append(f"{name} = {_write(value)}\n")
    return "\n".join(["".join(plain), *tables])


def find_changed(table: msgspec.Struct) -> Iterator[tuple[str, Any]]:
    """Yield the fields of a table that are not as they are when nothing is said."""
    for field in msgspec.structs.fields(table):
        value = getattr(table, field.name)
        if value != get_default(field):
            yield field.name, value


def get_default(field: msgspec.structs.FieldInfo) -> Any:
    """Return what a field is when nothing is said; NODEFAULT where something must be."""
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


def _write_table(header: str, table: msgspec.Struct) -> str:
    lines = [f"{name} = {_write(value)}\n" for name, value in find_changed(table)]
    return "".join([f"{header}\n", *lines])


def _write(value: Any) -> str:
    quantity = write_quantity(value)
    if quantity is not None:
        return _write(quantity)
    if isinstance(value, str):
        # A text of JSON is one of TOML, but for the last control character.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, msgspec.Struct):
        return _write(dict(find_changed(value)))
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{_write(name)} = {_write(one)}" for name, one in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_write, value))}]"
    return repr(value)
