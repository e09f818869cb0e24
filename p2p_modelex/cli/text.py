"""Text for terminals. Peers choose some of what is shown, and a terminal obeys what it is sent."""

import re
from datetime import datetime

from p2p_modelex.errors import BadInput

# Control characters but for newline and tab (C0, DEL, C1), marks that reorder text (Unicode
# UAX #9), line separators, and lone surrogates, which no stream can encode.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"([1-9][0-9]{0,8})([smhd])")


def printable(text: str) -> str:
    """Return text without what could move a cursor, change colours or forge other output."""
    return _CONTROLS.sub("", text)


def parse_duration(text: str) -> int:
    """Return the seconds of a duration such as `90s`, `15m`, `6h` or `30d`; BadInput otherwise."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise BadInput(
            f"not a duration: {text[:80]!r}", hint="write a number and s, m, h or d, such as 15m"
        )
    return int(match[1]) * _SECONDS[match[2]]


def local_time(unix_s: int) -> str:
    """Return a moment as this machine's clock shows it, with the date unless it is today's."""
    try:
        moment = datetime.fromtimestamp(unix_s).astimezone()
    except (ValueError, OverflowError, OSError):  # a chain may claim anything
        return f"unix time {unix_s}"
    is_today = moment.date() == datetime.now().astimezone().date()
    return f"{moment:%H:%M:%S}" if is_today else f"{moment:%H:%M:%S on %Y-%m-%d}"
