"""Where in a TOML text a key stands, since `tomllib` does not say.

Reads lines, not values: enough for files of headers and `key = value`, and a key inside an inline
table or a text of several lines is merely not found.
"""

import re

_HEADER = re.compile(r"\s*(\[{1,2})\s*([\w.\-]+)\s*\]{1,2}\s*(?:#.*)?$")
_KEY = re.compile(r"\s*[\"']?([\w\-]+)[\"']?\s*[=.]")

Place = tuple[str, int | None]
"""A table's name, empty for the top, and its position if there are several."""
TOP: Place = ("", None)


def find_line(text: str, place: Place, key: str | None) -> int | None:
    """Return the line (from 1) of `key` in a table, or of the table's header where key is None."""
    here = TOP
    seen: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        header = _HEADER.match(line)
        if header:
            name = header[2]
            position = seen.get(name, -1) + 1
            seen[name] = position
            here = (name, position if header[1] == "[[" else None)
            if key is None and here == place:
                return number
        elif here == place and key is not None:
            found = _KEY.match(line)
            if found and found[1] == key:
                return number
    return None
