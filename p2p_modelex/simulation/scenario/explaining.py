"""What is wrong with a scenario's text: in which line, and what would be right."""

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal, get_args, get_origin

import msgspec

from p2p_modelex.errors import BadInput
from p2p_modelex.simulation.scenario.tables import Scenario
from p2p_modelex.toml_lines import Place, find_line

_AT = re.compile(r" - at `\$(.*)`$")
_STEP = re.compile(r"\.(\w+)|\[(\d+|\.\.\.)\]")
_UNKNOWN = re.compile(r"unknown field `(.*?)`")
_MISSING = re.compile(r"missing required field `(.*?)`")
_CHOICE = re.compile(r"Invalid enum value '(.*?)'")
_MANY = "Expected `array`, got `object`"
_ONE = "Expected `object`, got `array`"


def find_nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint: the name that is most alike, or all."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean `{near[0]}`?" if near else "known: " + ", ".join(names)


class Explainer:
    """Finds the line of a message, and the nearest key there is."""

    def __init__(self, text: str, source: str) -> None:
        self._text = text
        self._source = source

    def explain(self, message: str) -> BadInput:
        """Turn what msgspec says into what, where and what instead."""
        at = _AT.search(message)
        steps = [one or two for one, two in _STEP.findall(at[1])] if at else []
        said = _AT.sub("", message)
        unknown, missing = _UNKNOWN.search(said), _MISSING.search(said)
        if unknown is not None:
            return self._explain_unknown(steps, unknown[1])
        if missing is not None:
            return self._tell(self._find_line(steps), f"`{missing[1]}` is missing", "add it")
        hint = "docs/scenarios.md says what it may be"
        choice = _CHOICE.search(said)
        if choice is not None:
            hint = find_nearest(choice[1], _list_choices(steps))
        elif said == _MANY:
            hint = f"[[{steps[-1]}]], in two pairs of brackets"
        elif said == _ONE:
            hint = f"[{steps[-1]}], in one pair of brackets"
        return self._tell(self._find_line(steps), f"`{'.'.join(steps)}`: {said}", hint)

    def _explain_unknown(self, steps: Sequence[str], key: str) -> BadInput:
        known = _find_table(steps).__struct_fields__
        hint = find_nearest(key, known)
        if steps and key in Scenario.__struct_fields__:
            hint = f"`{key}` belongs at the top, above the first table"
        return self._tell(self._find_line([*steps, key]), f"unknown key `{key}`", hint)

    def _find_line(self, steps: Sequence[str]) -> int | None:
        """Return the line of a key or table, or of the nearest one that it is written inside of."""
        for depth in range(len(steps), 0, -1):
            place, key = _place_of(steps[: depth - 1]), steps[depth - 1]
            lines = (
                None if key.isdigit() else find_line(self._text, place, key),
                find_line(self._text, _place_of(steps[:depth]), None),
                find_line(self._text, _place_of([*steps[:depth], "0"]), None),
            )
            found = next((line for line in lines if line is not None), None)
            if found is not None:
                return found
        return None

    def point(self, place: Place, key: str | None, what: str, hint: str) -> BadInput:
        """Return an error that names the line."""
        line = find_line(self._text, place, key)
        return self._tell(line or find_line(self._text, place, None), what, hint)

    def _tell(self, line: int | None, what: str, hint: str) -> BadInput:
        where = self._source if line is None else f"{self._source}, line {line}"
        return BadInput(f"{where}: {what}", hint=hint)


def _place_of(steps: Sequence[str]) -> Place:
    """Return the table at a path of keys and positions."""
    names = [step for step in steps if not step.isdigit()]
    is_one_of_many = bool(steps) and steps[-1].isdigit()
    return ".".join(names), int(steps[-1]) if is_one_of_many else None


def _find_table(steps: Sequence[str]) -> type[msgspec.Struct]:
    """Return what the innermost table on a path is made of."""
    kind: type[msgspec.Struct] = Scenario
    for step in steps:
        fields = {field.name: field.type for field in msgspec.structs.fields(kind)}
        kind = _find_in(fields.get(step), msgspec.Struct) or kind
    return kind


def _list_choices(steps: Sequence[str]) -> list[str]:
    """Return what may stand at a path that has a list of choices."""
    fields = {field.name: field.type for field in msgspec.structs.fields(_find_table(steps))}
    return [str(choice) for choice in get_args(_find_in(fields.get(steps[-1]), Literal))]


def _find_in(kind: Any, wanted: Any) -> Any:
    """Return the struct, or the choices, in a field's type such as `tuple[Fault, ...] | None`."""
    if get_origin(kind) is wanted:
        return kind
    if isinstance(kind, type) and isinstance(wanted, type) and issubclass(kind, wanted):
        return kind
    found = (_find_in(inner, wanted) for inner in getattr(kind, "__args__", ()))
    return next((one for one in found if one is not None), None)
