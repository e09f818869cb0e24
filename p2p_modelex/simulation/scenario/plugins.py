"""Plug-ins as files: read beside a scenario, carried as text, and run once where they are needed.

A plug-in is a program: whoever runs a scenario of others runs their plug-ins too.
"""

import linecache
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import msgspec

from p2p_modelex.errors import BadInput
from p2p_modelex.limits import KIB
from p2p_modelex.simulation.plugin import loading
from p2p_modelex.simulation.scenario.texts import read_text

FILE_BYTES = 256 * KIB


class PluginFile(msgspec.Struct, frozen=True):
    """A plug-in as text. name: its path, as the scenario or the command wrote it."""

    name: str
    text: str


_LOADED: dict[str, str] = {}
"""The text that was run last, by name: the same is not run again, another replaces it."""


def read_plugins(names: Iterable[str], folder: Path) -> tuple[PluginFile, ...]:
    """Read files, relative to a folder; BadInput if one cannot be read."""
    hint = "a path from the folder of the scenario, or of the command"
    return tuple(
        PluginFile(name, read_text(folder / name, FILE_BYTES, hint=hint, what="plug-in"))
        for name in names
    )


def list_loaded(names: Iterable[str]) -> tuple[PluginFile, ...]:
    """Return plug-ins that were loaded, as they were; KeyError for another."""
    return tuple(PluginFile(name, _LOADED[name]) for name in names)


def load_plugin(plugin: PluginFile) -> None:
    """Run a plug-in, so that what it registers is known. BadInput names its line."""
    name = plugin.name
    if _LOADED.get(name) == plugin.text:
        return
    # What it raises later is shown with its lines, wherever the file is.
    lines = plugin.text.splitlines(keepends=True)
    linecache.cache[name] = len(plugin.text), None, lines, name
    module = ModuleType(f"modelex_plugin_{Path(name).stem}")
    module.__file__ = name
    sys.modules[module.__name__] = module  # dataclasses look their module up
    token = loading.set(name)
    try:
        exec(compile(plugin.text, name, "exec"), module.__dict__)  # noqa: S102  # that is its use
    except SyntaxError as error:
        raise BadInput(
            f"{name}, line {error.lineno or 1}: {error.msg}", hint="it is Python"
        ) from error
    except BadInput:
        raise
    except (Exception, SystemExit) as error:  # whatever a stranger's module does as it is loaded
        raise _explain(name, error) from error
    finally:
        loading.reset(token)
    _LOADED[name] = plugin.text


def _explain(name: str, error: BaseException) -> BadInput:
    frames = [one for one in traceback.extract_tb(error.__traceback__) if one.filename == name]
    line = frames[-1].lineno if frames else 1
    return BadInput(f"{name}, line {line}: it does not load: {error!r}", hint="run it with Python")
