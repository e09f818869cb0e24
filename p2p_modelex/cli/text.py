"""Text for terminals. Peers choose some of what is shown, and a terminal obeys what it is sent."""

import re
from datetime import datetime

# Control characters but for newline and tab (C0, DEL, C1), marks that reorder text (Unicode
# UAX #9), line separators, and lone surrogates, which no stream can encode.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    """Return text without what could move a cursor, change colours or forge other output."""
    return _CONTROLS.sub("", text)


def local_time(unix_s: int) -> str:
    """Return a moment as this machine's clock shows it, with the date unless it is today's."""
    try:
        moment = datetime.fromtimestamp(unix_s).astimezone()
    except (ValueError, OverflowError, OSError):  # a chain may claim anything
        return f"unix time {unix_s}"
    is_today = moment.date() == datetime.now().astimezone().date()
    return f"{moment:%H:%M:%S}" if is_today else f"{moment:%H:%M:%S on %Y-%m-%d}"
