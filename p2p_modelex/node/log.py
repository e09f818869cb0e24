"""Structured logs: for people on a terminal, JSON for programs; secrets and control codes never."""

from pathlib import Path

from p2p_modelex.node.configuration import LogSettings


def configure_log(settings: LogSettings, *, folder: Path | None = None) -> None:
    """Set structlog and the standard library's logging up, once, at start.

    Every module then logs by `structlog.get_logger()`. folder: what a relative `file` is in.
    Raises ConfigurationError if the log file cannot be written.
    """
    raise NotImplementedError
