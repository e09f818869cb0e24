"""Structured logs: for people on a terminal, JSON for programs; secrets and control codes never.

Peers choose some of the text that is logged, so what could move a terminal's cursor or forge a
line is escaped, and every value is cut to a bound.
"""

import logging
import logging.handlers
import os
import re
import sys
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

import structlog
from structlog.types import EventDict, Processor

from p2p_modelex.errors import ConfigurationError
from p2p_modelex.limits import MIB
from p2p_modelex.node.configuration import LogSettings

FILE_BYTES = 10 * MIB
FILES_KEPT = 5
VALUE_CHARACTERS = 2000
_ITEMS_MAX = 32
_DEPTH_MAX = 4
_HIDDEN = "[hidden]"
_SECRET_NAME = re.compile(r"passphrase|password|secret|seed|private|mnemonic", re.IGNORECASE)
# Control characters (C0, DEL, C1), marks that reorder text (Unicode UAX #9), line separators, and
# lone surrogates, which no stream can encode.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_HANDLER = "modelex"


def configure_log(
    settings: LogSettings, *, folder: Path | None = None, stream: TextIO | None = None
) -> None:
    """Set structlog and the standard library's logging up; a second call replaces the first.

    Every module then logs by `structlog.get_logger()`. folder: what a relative `file` is in.
    stream: standard error if None. Raises ConfigurationError if the log file cannot be written.
    """
    stream = sys.stderr if stream is None else stream
    handlers: list[logging.Handler] = [logging.StreamHandler(stream)]
    on_terminal = stream.isatty()
    plain = settings.format == "console" or (settings.format == "auto" and on_terminal)
    handlers[0].setFormatter(_formatter(_console(on_terminal) if plain else _json()))
    if settings.file:
        handlers.append(_open_file((folder or Path()) / settings.file))
        handlers[1].setFormatter(_formatter(_json()))
    level = getattr(logging, settings.level.upper())
    _install(handlers, level)
    structlog.configure(
        processors=[*_shared(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


def hide_secrets(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Replace values whose name says that they are secret; shorten URLs that may hold a token."""
    for name, value in event.items():
        if _SECRET_NAME.search(name):
            event[name] = _HIDDEN
        elif name == "rpc_url":
            event[name] = _origin_of(str(value))
    return event


def clean_values(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Make every value printable and bounded: bytes become hex, control characters escapes."""
    return {
        # A traceback is text of ours in several lines; what it quotes is cleaned line by line.
        name: "\n".join(map(_clean_text, str(value).split("\n")))
        if name in ("exception", "stack")
        else _clean(value, 0)
        for name, value in event.items()
    }


def _clean(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes):
        value = value.hex()
    if depth < _DEPTH_MAX and isinstance(value, dict):
        items = list(value.items())[:_ITEMS_MAX]
        return {
            _clean_text(str(name)): _HIDDEN
            if _SECRET_NAME.search(str(name))
            else _clean(item, depth + 1)
            for name, item in items
        }
    if depth < _DEPTH_MAX and isinstance(value, list | tuple):
        return [_clean(item, depth + 1) for item in value[:_ITEMS_MAX]]
    return _clean_text(str(value))


def _clean_text(text: str) -> str:
    if len(text) > VALUE_CHARACTERS:
        text = f"{text[:VALUE_CHARACTERS]}... ({len(text)} characters)"
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def _origin_of(url: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}" if host else _HIDDEN


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _formatter(renderer: Processor) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*_shared(), structlog.stdlib.add_logger_name],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.StackInfoRenderer(),
            # Not the console's own rich tracebacks: they show local variables, keys among them.
            structlog.processors.format_exc_info,
            hide_secrets,
            clean_values,
            renderer,
        ],
    )


def hush_unconfigured() -> None:
    """Send warnings to standard error where a program that uses us set up no log of its own.

    structlog's own default would print everything among that program's output.
    """
    if not structlog.is_configured():
        structlog.configure(
            wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
            logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        )


def _console(colours: bool) -> Processor:
    return structlog.dev.ConsoleRenderer(
        colors=colours, exception_formatter=structlog.dev.plain_traceback
    )


def _json() -> Processor:
    return structlog.processors.JSONRenderer(ensure_ascii=False)


def _open_file(path: Path) -> logging.Handler:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        return logging.handlers.RotatingFileHandler(
            path, maxBytes=FILE_BYTES, backupCount=FILES_KEPT, encoding="utf-8"
        )
    except OSError as error:
        raise ConfigurationError(
            f"cannot write the log file {path}: {error.strerror}", hint="change log.file"
        ) from error


def _install(handlers: list[logging.Handler], level: int) -> None:
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if handler.get_name() == _HANDLER:
            root.removeHandler(handler)
            handler.close()
    for handler in handlers:
        handler.set_name(_HANDLER)
        root.addHandler(handler)
    # Libraries are heard when something is wrong; py-libp2p says a lot otherwise.
    root.setLevel(logging.WARNING)
    for ours in ("p2p_modelex", "__main__"):
        logging.getLogger(ours).setLevel(level)
