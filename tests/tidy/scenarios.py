"""docs/scenarios.md: tables and keys of a scenario, from the types and docstrings that read it."""

import inspect
import re
import types
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

from p2p_modelex.core.routing.profile import PICKERS, PROFILES, build_profile
from p2p_modelex.core.routing.scorers import SCORERS
from p2p_modelex.simulation.actors.behaviours import BEHAVIOURS
from p2p_modelex.simulation.actors.behaviours.base import be_honest
from p2p_modelex.simulation.actors.gossipers import GOSSIPERS
from p2p_modelex.simulation.models.lengths import PUBLISHED
from p2p_modelex.simulation.models.links import REGIONS
from p2p_modelex.simulation.models.pace import DEVICES, SIZES
from p2p_modelex.simulation.scenario.measures import FAMILIES, GROUPS
from p2p_modelex.simulation.scenario.quantities import ByteRate, Duration, Money, write_quantity
from p2p_modelex.simulation.scenario.tables import Scenario
from p2p_modelex.simulation.scenario.writing import get_default

SMALLEST = 10**9
"""Wei in the last decimal that an amount of a scenario has."""

_OURS = "p2p_modelex."

_HEAD = """\
# Tables of a scenario

Made from `tables.py`, `settings.py` and `measures.py` of `p2p_modelex/simulation/scenario/`; do not
edit (`python -m tests.tidy.references`).

[simulation.md](simulation.md) has a whole scenario and says how to run it.
A scenario is a file of TOML: first the keys that belong to no table, then tables, `[links]` once
and `[[population]]` as often as there are populations.
A table inside of another is a section of its own here: write `engine = { slots = 2 }` in a
population, and `[chain.fees]`, or `fees = { raises = false }` in the chain.
A key may be left out unless its default is *must be given*.

- A time is a text with `us`, `ms`, `s`, `min`, `h` or `d`: `"1.5 s"`.
- A rate has `kbit/s`, `Mbit/s` or `Gbit/s`: `"20 Mbit/s"`.
- Money has `AI`: `"0.25 AI"`.
- A share is a number: 0.3, not 30.

What does not fit together is refused too, such as requests where there is no chain to pay on.
"""

_MEASURES = """\
What `measure` of a `[[hold]]`, `--show` and the tables name; `modelex simulate NAME --measures`
lists those of a scenario, its plug-ins' too.
What did not happen in a run, such as a failure, is not measured in it, and no `[[hold]]` of it
holds.
"""

_KINDS = {
    Duration: "time",
    ByteRate: "rate",
    Money: "money",
    bool: "`true` or `false`",
    int: "whole number",
    float: "number",
    str: "text",
}
_KEYS = re.compile(r"(?:^|(?<=[.;:] ))((?:\w+, )*\w+): ")


def render_scenarios() -> str:
    """Return docs/scenarios.md."""
    parts = [_HEAD]
    for title, kind in _list_tables():
        parts += _section(title, kind)
    return "\n".join([*parts, *_list_names(), *_list_measures()])


def split_meanings(kind: type) -> tuple[str, dict[str, str]]:
    """Return what a table's docstring says of it, and of each of its keys."""
    known = {field.name for field in msgspec.structs.fields(kind)}
    prose: list[str] = []
    meanings: dict[str, str] = {}
    for paragraph in (inspect.getdoc(kind) or "").split("\n\n"):
        text = " ".join(paragraph.split())
        marks = [one for one in _KEYS.finditer(text) if known >= set(one[1].split(", "))]
        prose.append(text[: marks[0].start()] if marks else text)
        for mark, after in zip_longest(marks, marks[1:]):
            said = text[mark.end() : after.start() if after else None].strip()
            meanings |= dict.fromkeys(mark[1].split(", "), said)
    return "\n\n".join(one.strip() for one in prose if one), meanings


def list_structs() -> list[type]:
    """Return the type of every table."""
    return [kind for _, kind in _list_tables()]


def _list_tables() -> Iterator[tuple[str, type]]:
    """Yield a title and a type for each table, once, outer ones before inner ones."""
    yield "Top level", Scenario
    seen: set[type] = set()
    waiting: list[tuple[str, type]] = [("", Scenario)]
    while waiting:
        path, outer = waiting.pop(0)
        for field in msgspec.structs.fields(outer):
            kind = _find_struct(field.type)
            if kind is None or kind in seen:
                continue
            seen.add(kind)
            name = f"{path}{field.name}"
            many, inner = get_origin(_strip(field.type)[0]) is tuple, path.startswith("population.")
            title = f"`{field.name} = {{ ... }}` of a population" if inner else f"`[{name}]`"
            yield f"`[[{name}]]`" if many and not inner else title, kind
            waiting.append((f"{name}.", kind))


def _section(title: str, kind: type) -> list[str]:
    prose, meanings = split_meanings(kind)
    lines = [f'<a id="{kind.__name__.lower()}"></a>\n', f"## {title}\n", f"{prose}\n"]
    lines += ["| key | kind | default | meaning |", "| --- | --- | --- | --- |"]
    for field in msgspec.structs.fields(kind):
        default = _write_default(field)
        said = _capitalize(meanings[field.name])
        lines.append(f"| `{field.name}` | {_tell_kind(field.type)} | {default} | {said} |")
    return [*lines, ""]


def _write_default(field: msgspec.structs.FieldInfo) -> str:
    default = get_default(field)
    if default is msgspec.NODEFAULT:
        return "*must be given*"
    if isinstance(default, msgspec.Struct):
        return "its defaults"
    if default is None or default in ((), {}):
        return "none"
    if isinstance(default, Money) and default % SMALLEST:
        return f"{default} wei"  # less than a scenario can write
    text = write_quantity(default) or default
    return f'`"{text}"`' if isinstance(text, str) else f"`{text}`".lower()


def _strip(kind: Any) -> tuple[Any, list[msgspec.Meta]]:
    """Return a type without its bounds and without None, and the bounds."""
    bounds: list[msgspec.Meta] = []
    while True:
        if hasattr(kind, "__metadata__"):
            bounds += kind.__metadata__
            kind = kind.__origin__
        elif get_origin(kind) in (Union, types.UnionType):
            kind = next(one for one in get_args(kind) if one is not type(None))
        else:
            return kind, bounds


def _find_struct(kind: Any) -> type | None:
    kind, _ = _strip(kind)
    if get_origin(kind) is tuple:
        return _find_struct(get_args(kind)[0])
    return kind if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else None


def _tell_kind(kind: Any) -> str:
    """Say what may stand there, and within which bounds."""
    kind, bounds = _strip(kind)
    struct = _find_struct(kind)
    inner = get_args(kind)
    if get_origin(kind) is Literal:
        return " or ".join(f"`{choice}`" for choice in inner)
    if get_origin(kind) is tuple:
        return f"list of {_tell_kind(inner[0])}" + _tell_bounds(bounds, "of them")
    if get_origin(kind) is dict:
        return f"names, each with a {_tell_kind(inner[1])}"
    if struct is not None:
        return f"[table](#{struct.__name__.lower()})"
    return _KINDS[kind] + _tell_bounds(bounds, "characters")


def _tell_bounds(bounds: list[msgspec.Meta], unit: str) -> str:
    """Say how much it may be, or how many or how long."""
    said = {}
    for bound in bounds:
        for key in ("ge", "gt", "le", "lt", "min_length", "max_length"):
            value = getattr(bound, key)
            if value is not None:
                said[key] = f"{value:,}".removesuffix(".0")
    low, high = said.get("ge"), said.get("le")
    long = [said[key] for key in ("min_length", "max_length") if key in said]
    parts = [f"{low} to {high}"] if low and high else []
    parts += [f"{low} at least"] if low and not high else []
    parts += [f"over {said['gt']}"] if "gt" in said else []
    parts += [f"{high} at most"] if high and not low else []
    parts += [f"under {said['lt']}"] if "lt" in said else []
    parts += [f"{' to '.join(long)} {unit}"] if len(long) == 2 else []
    parts += [f"{long[0]} {unit} at most"] if len(long) == 1 else []
    return "".join(f", {one}" for one in parts)


def _list_names() -> Iterator[str]:
    """Yield what may stand where a key takes a name; plug-ins add to behaviours and routing."""
    yield "## Names\n"
    yield "What may stand where a key takes a name that the scenario does not make.\n"
    yield "| key | names |\n| --- | --- |"
    tables: Mapping[str, Any] = {
        "`routing` of a population": PROFILES,
        "`regions` of links and of a fault": REGIONS,
        "`device` of an engine": DEVICES,
        "`size` of an engine": SIZES,
        "`lengths` of a workload": PUBLISHED,
    }
    for key, names in tables.items():
        yield f"| {key} | {', '.join(f'`{name}`' for name in names)} |"
    pickers = {name: build_profile(name, name, {"price": 1}).picker for name in PICKERS}
    # Other tests of the process may have loaded plug-ins, which register here.
    ours = {name: made for name, made in BEHAVIOURS.items() if made.__module__.startswith(_OURS)}
    described: Mapping[str, Mapping[str, object]] = {
        "`picker` of a policy": pickers,
        "`weights` of a policy": SCORERS,
        "`behaviour` of nodes with a core": ours | {"colluder": _Colluder},
        "`behaviour` of routers": {**GOSSIPERS, "honest": be_honest},
    }
    for key, names in described.items():
        yield f"\n| {key} | what it is |\n| --- | --- |"
        for name, made in names.items():
            yield f"| `{name}` | {_capitalize(_read_first_line(made))} |"
    yield ""


def _list_measures() -> Iterator[str]:
    """Yield what runs measure; plug-ins add to it."""
    yield "## Measures\n"
    yield _MEASURES
    said = {"at": "what half, 90% and 99% of the values are not above, and the greatest"}
    yield "| in braces | what it stands for |\n| --- | --- |"
    for family, names in FAMILIES.items():
        known = ", ".join(f"`{name}`" for name in names)
        yield f"| `{{{family}}}` | {known}{': ' + said[family] if family in said else ''} |"
    yield "| `{population}` | each population, by its name |"
    for group in GROUPS:
        yield f"\n| {group.title} | unit | meaning |\n| --- | --- | --- |"
        for one in group.measures:
            yield f"| `{one.name}` | {one.unit} | {one.meaning} |"
    yield ""


class _Colluder:
    """Be honest but on chain, where `rates` says how it lies."""


def _read_first_line(made: object) -> str:
    return " ".join((inspect.getdoc(made) or "").split("\n\n")[0].split())


def _capitalize(text: str) -> str:
    return text[:1].upper() + text[1:]
