"""Reading and writing `modelex.toml`. Strict: an unknown key or a wrong value names its line."""

import dataclasses
import difflib
import os
import textwrap
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from p2p_modelex.errors import BadInput, ConfigurationError
from p2p_modelex.ids import parse_address
from p2p_modelex.limits import KIB
from p2p_modelex.node.aliases import validate_aliases
from p2p_modelex.node.configuration import LISTS, Configuration
from p2p_modelex.node.options import Meaning, meaning_of
from p2p_modelex.node.routing_profiles import find_profile, validate_profiles
from p2p_modelex.toml_lines import TOP, Place, find_line
from p2p_modelex.units import Epoch

FILE_BYTES = 256 * KIB
_OVERRIDES = {"MODELEX_RPC_URL": ("network", "rpc_url"), "MODELEX_LOG_LEVEL": ("log", "level")}
_WIDTH = 96

_PREAMBLE = """\
# A Modelex node. Every option is here. A line that begins with `#` and a name shows the default:
# take the `#` away to change it. Money is text, because it is exact: "0.25" is a quarter AI.
"""


def read_configuration(path: Path, *, environ: Mapping[str, str] = os.environ) -> Configuration:
    """Read a file and apply the MODELEX_ variables. ConfigurationError names file, line, remedy."""
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES + 1)
        text = content.decode("utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"cannot read {path}: {error.strerror}",
            hint="`modelex init` writes one; --home or MODELEX_HOME chooses another directory",
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8 text", hint="save it as UTF-8") from error
    if len(content) > FILE_BYTES:
        raise ConfigurationError(f"{path} is over {FILE_BYTES} bytes", hint="check the path")
    return _override(parse_configuration(text, source=str(path)), environ)


def parse_configuration(text: str, *, source: str = "modelex.toml") -> Configuration:
    """Parse the text of a configuration file; `source` is its name in messages."""
    try:
        table = tomllib.loads(text)
    # TOMLDecodeError is a ValueError; a number of 5,000 digits is another, deep brackets recurse.
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"{source} is not TOML: {error}", hint='texts stand in quotes: name = "value"'
        ) from error
    configuration = _Reader(text, source).read_top(table)
    try:
        validate_configuration(configuration)
    except BadInput as error:
        raise ConfigurationError(f"{source}: {error.message}", hint=error.hint) from error
    return configuration


def validate_configuration(configuration: Configuration) -> None:
    """Raise BadInput if options that are each right do not fit together."""
    names = [settings.model for settings in configuration.models]
    if configuration.role == "provider" and not names:
        raise BadInput(
            "a provider has no model to sell",
            hint='add a [[models]] table, or set role = "requester"',
        )
    for name in names:
        if not name or names.count(name) > 1:
            raise BadInput(f"model {name!r} appears twice or is empty", hint="name each once")
    if configuration.registry.register and configuration.role != "provider":
        raise BadInput(
            f"registry.register is on, and a {configuration.role} has nothing to register",
            hint="only what a provider advertises is anchored: turn it off, or add a model",
        )
    for settings in configuration.models:
        if (settings.engine == "upstream") != bool(settings.upstream_url):
            raise BadInput(
                f'model {settings.model!r}: upstream_url and engine = "upstream" go together',
                hint='upstream_url = "http://127.0.0.1:8000/v1"',
            )
    _validate_routing(configuration)
    mesh = configuration.mesh
    if configuration.role != "requester" and not mesh.listen:
        raise BadInput("mesh.listen is empty, so no peer can reach this node")
    for address in (*mesh.listen, *mesh.announce, *mesh.bootstrap):
        if not address.startswith("/"):
            raise BadInput(
                f"{address!r} is not a multiaddr", hint="they look like /ip4/127.0.0.1/tcp/4701"
            )
    for address in mesh.bootstrap:
        if "/p2p/" not in address:
            raise BadInput(
                f"bootstrap peer {address!r} does not say who it is", hint="end it with /p2p/PEER"
            )
    if not configuration.network.rpc_url.startswith(("http://", "https://")):
        raise BadInput("network.rpc_url is not an http:// or https:// URL")


def _validate_routing(configuration: Configuration) -> None:
    requester = configuration.requester
    for account in requester.evaluators:
        parse_address(account)
    validate_aliases(configuration.aliases)
    validate_profiles(configuration.profiles)
    find_profile(requester.profile, configuration.profiles)


def validate_split_epoch(configuration: Configuration, epoch: Epoch) -> None:
    """Raise ConfigurationError if amounts are in an epoch that the token has not reached."""
    written = configuration.split_epoch
    if written > epoch:
        raise ConfigurationError(
            f"split_epoch is {written}, but $AI has split {epoch} times",
            hint="put it right in modelex.toml: amounts would be worth a fraction",
        )


def write_configuration(configuration: Configuration) -> str:
    """Return the text of a configuration file with every option, its meaning and its default."""
    lines = [_PREAMBLE.rstrip()]
    for field in _options(Configuration):
        lines += _write_option(field, getattr(configuration, field.name))
    for name, kind in _tables().items():
        lines += ["", "", f"[{name}]", *_comment(str(kind.__doc__))]
        for field in _options(kind):
            lines += _write_option(field, getattr(getattr(configuration, name), field.name))
    for name, (kind, _) in LISTS.items():
        lines += _write_list(name, kind, getattr(configuration, name))
    return "\n".join(lines) + "\n"


def _write_list(name: str, kind: type, held: Sequence[Any]) -> list[str]:
    """Each table of a list; where there is none, one that is commented out."""
    about = ["", "", *_comment(str(kind.__doc__))]
    if not held:
        shown = [_write_option(field, field.default) for field in _options(kind)]
        return [*about, f"#[[{name}]]", *(line for lines in shown for line in lines)]
    lines: list[str] = []
    for settings in held:
        lines += ["", "", f"[[{name}]]", *_comment(str(kind.__doc__))]
        for field in _options(kind):
            lines += _write_option(field, getattr(settings, field.name))
    return lines


def _options(kind: type) -> "list[dataclasses.Field[Any]]":
    return [field for field in dataclasses.fields(kind) if meaning_of(field)]


def _tables() -> dict[str, type]:
    found: dict[str, type] = {}
    for field in dataclasses.fields(Configuration):
        made_by: object = field.default_factory
        if isinstance(made_by, type) and dataclasses.is_dataclass(made_by):
            found[field.name] = made_by
    return found


def _write_option(field: "dataclasses.Field[Any]", value: Any) -> list[str]:
    meaning = _require(field)
    if field.default is dataclasses.MISSING:
        shown = meaning.example if value is dataclasses.MISSING else meaning.kind.write(value)
        default = "none, it must be given"
    else:
        default = meaning.kind.write(field.default)
        shown = meaning.kind.write(value)
    note = f"Default: {default}." + (f" Example: {meaning.example}" if meaning.example else "")
    changed = value is not dataclasses.MISSING and value != field.default
    return [
        "",
        *_comment(meaning.text),
        *_comment(f"{meaning.kind.title[0].upper()}{meaning.kind.title[1:]}. {note}"),
        f"{'' if changed else '#'}{field.name} = {shown}",
    ]


def _comment(text: str) -> list[str]:
    return ["# " + line for line in textwrap.wrap(text, _WIDTH, break_on_hyphens=False)]


def _require(field: "dataclasses.Field[Any]") -> Meaning:
    meaning = meaning_of(field)
    assert meaning is not None, field.name
    return meaning


def _override(configuration: Configuration, environ: Mapping[str, str]) -> Configuration:
    for variable, (table, name) in _OVERRIDES.items():
        if variable not in environ:
            continue
        settings = getattr(configuration, table)
        field = next(field for field in _options(type(settings)) if field.name == name)
        kind = _require(field).kind
        try:
            value = kind.read(environ[variable])
            changed = dataclasses.replace(settings, **{name: value})
            configuration = dataclasses.replace(configuration, **{table: changed})
            validate_configuration(configuration)
        except (ValueError, BadInput) as error:
            raise ConfigurationError(
                f"the variable {variable} is wrong", hint=f"expected {kind.title}"
            ) from error
    return configuration


class _Reader:
    """Turns tables into settings; knows the text, to name lines."""

    def __init__(self, text: str, source: str) -> None:
        self._text = text
        self._source = source

    def read_top(self, table: dict[str, Any]) -> Configuration:
        values: dict[str, Any] = {}
        for name, kind in _tables().items():
            part = table.get(name, {})
            if not isinstance(part, dict):
                raise self._error(TOP, name, f"{name} is not a table", f"write [{name}]")
            values[name] = self._read(kind, part, (name, None))
        for name, (kind, most) in LISTS.items():
            values[name] = self._read_list(name, kind, most, table.get(name, []))
        configuration: Configuration = self._read(Configuration, table, TOP, values)
        return configuration

    def _read_list(self, name: str, kind: type, most: int, parts: Any) -> tuple[Any, ...]:
        if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
            raise self._error((name, None), None, f"{name} is not a list", f"write [[{name}]]")
        if len(parts) > most:
            raise self._error((name, most), None, f"{len(parts)} {name}", f"at most {most}")
        return tuple(self._read(kind, part, (name, at)) for at, part in enumerate(parts))

    def _read(
        self, kind: Any, table: dict[str, Any], place: Place, values: dict[str, Any] | None = None
    ) -> Any:
        values = dict(values or {})
        fields = {field.name: field for field in dataclasses.fields(kind)}
        for key, raw in table.items():
            if key not in fields:
                raise self._unknown(place, key, list(fields))
            if key not in values:
                values[key] = self._read_option(place, key, _require(fields[key]), raw)
        for name, field in fields.items():
            if name not in values and field.default is dataclasses.MISSING and meaning_of(field):
                raise self._error(place, None, f"{_dotted(place, name)} is missing", "add it")
        return kind(**values)

    def _read_option(self, place: Place, key: str, meaning: Meaning, raw: Any) -> Any:
        try:
            return meaning.kind.read(raw)
        except (ValueError, BadInput) as error:
            why = f": {error}" if str(error) else ""
            shown = str(raw).lower() if isinstance(raw, bool | int | float) else repr(raw)
            raise self._error(
                place,
                key,
                f"{_dotted(place, key)} cannot be {shown[:80]}{why}",
                f"expected {meaning.kind.title}",
            ) from error

    def _unknown(self, place: Place, key: str, known: list[str]) -> ConfigurationError:
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean `{near[0]}`?" if near else "known here: " + ", ".join(known)
        is_table = place == TOP and find_line(self._text, TOP, key) is None
        where, name = ((key, None), None) if is_table else (place, key)
        return self._error(where, name, f"unknown option `{_dotted(place, key)}`", hint)

    def _error(self, place: Place, key: str | None, what: str, hint: str) -> ConfigurationError:
        line = find_line(self._text, place, key)
        where = self._source if line is None else f"{self._source}, line {line}"
        return ConfigurationError(f"{where}: {what}", hint=hint)


def _dotted(place: Place, key: str) -> str:
    name, position = place
    if position is not None:
        return f"{name}[{position}].{key}"
    return f"{name}.{key}" if name else key
