"""Pages of docs/ that are made from the code: `python -m tests.tidy.references` writes them."""

import dataclasses
import inspect
from pathlib import Path

from p2p_modelex import errors
from p2p_modelex.node.configuration import LISTS, Configuration
from p2p_modelex.node.options import meaning_of
from tests.tidy.scenarios import render_scenarios

DOCS = Path(__file__).parents[2] / "docs"

_CONFIGURATION = """\
# Configuration

Made from `p2p_modelex/node/configuration.py`; do not edit (`python -m tests.tidy.references`).

A node reads `modelex.toml` in its data directory, which is `--home`, else `MODELEX_HOME`, else the
platform's place for a user's data.
`modelex init` writes the file with every option in it; the defaults are commented out.
Amounts and prices are in the split epoch that `split_epoch` names, and count twice after each
later split of $AI.
An unknown option, a wrong type and a wrong unit are refused, with the line and what was expected.

| Variable | What it does |
| --- | --- |
| `MODELEX_HOME` | the data directory |
| `MODELEX_PASSPHRASE` | opens the keystore; comes before `keys.passphrase_file` and the prompt |
| `MODELEX_RPC_URL` | overrides `network.rpc_url`, and the default of `modelex chain grant --rpc` |
| `MODELEX_LOG_LEVEL` | overrides `log.level` |

The data directory holds `modelex.toml`, `keys/` (0700, both files encrypted), `modelex.sqlite`
(channels, vouchers, receipts: back it up), `models/`, `logs/`, `receipts/`, `batches/` and `lock`.
One node uses it at a time; other commands may read it meanwhile.
"""

_ERRORS = """\
# Errors and exit codes

Made from `p2p_modelex/errors.py`; do not edit (`python -m tests.tidy.references`).

Every error names what went wrong and, in its `hint`, what to do about it.
A command that succeeds ends with 0; one that fails ends with the code of its error's class.
An indented class is a kind of the one above it.
No command shows a traceback: `MODELEX_TRACEBACK=1` asks for one.

| Exit code | Otherwise |
| --- | --- |
| 0 | it succeeded; a node or devnet that SIGINT or SIGTERM asked to end has ended in good order |
| 1 | a bug of ours; the message says how to report it |
| 2 | an option or argument is wrong, also where click says so |
| 15 | `modelex doctor` found something to mend |
| 130 | Ctrl-C; `modelex run` has cancelled and paid for what came; `modelex map` can go on |
| 141 | whoever read the output has closed the pipe |

| Exit code | Error | When |
| --- | --- | --- |
"""


def render_configuration() -> str:
    """Return docs/configuration.md."""
    parts = [_CONFIGURATION, *_section("Top level", Configuration, Configuration.__doc__)]
    for field in dataclasses.fields(Configuration):
        kind: object = field.default_factory
        if isinstance(kind, type):
            parts += _section(f"`[{field.name}]`", kind, kind.__doc__)
    for name, (listed, _) in LISTS.items():
        parts += _section(f"`[[{name}]]`", listed, listed.__doc__)
    return "\n".join(parts)


def render_errors() -> str:
    """Return docs/errors.md."""
    return _ERRORS + "".join(_rows(errors.ModelexError, 0))


def _section(title: str, kind: type, text: str | None) -> list[str]:
    lines = [f"## {title}\n", f"{text}\n"]
    lines += ["| Option | Kind | Default | Meaning |", "| --- | --- | --- | --- |"]
    for field in dataclasses.fields(kind):
        meaning = meaning_of(field)
        if meaning is None:
            continue
        missing = field.default is dataclasses.MISSING
        default = "must be given" if missing else f"`{meaning.kind.write(field.default)}`"
        lines.append(f"| `{field.name}` | {meaning.kind.title} | {default} | {meaning.text} |")
    return [*lines, ""]


def _rows(kind: type[errors.ModelexError], depth: int) -> list[str]:
    text = " ".join(inspect.getdoc(kind).split()) if kind.__doc__ else ""  # type: ignore[union-attr]
    indent = "&nbsp;" * 4 * depth
    rows = [f"| {kind.exit_code} | {indent}`{kind.__name__}` | {text} |\n"]
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            rows += _rows(child, depth + 1)
    return rows


PAGES = {
    "configuration.md": render_configuration,
    "errors.md": render_errors,
    "scenarios.md": render_scenarios,
}

if __name__ == "__main__":
    for name, render in PAGES.items():
        (DOCS / name).write_text(render(), encoding="utf-8")
