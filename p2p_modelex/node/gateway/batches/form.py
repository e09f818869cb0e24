"""A form with a file (multipart/form-data), as OpenAI's libraries upload it."""

import re
from dataclasses import dataclass

from p2p_modelex.node.gateway.refusal import Refusal

PARTS_MAX = 16
_BOUNDARY = re.compile(r'^multipart/form-data\s*;.*?boundary="?([^";]{1,70})"?', re.IGNORECASE)
_NAME = re.compile(rb'[;\s]name="([^"\r\n]{1,64})"')
_FILENAME = re.compile(rb'[;\s]filename="([^"\r\n]{1,255})"')


@dataclass(frozen=True, slots=True)
class Part:
    """One field. filename: empty where it is none."""

    filename: str
    content: bytes


def read_form(content_type: str, body: bytes) -> dict[str, Part]:
    """Return a form's fields by name. Raises Refusal."""
    found = _BOUNDARY.match(content_type)
    if found is None:
        raise _malformed("it is no multipart/form-data with a boundary")
    mark = b"\r\n--" + found[1].encode("latin-1")
    before, *parts = (b"\r\n" + body).split(mark, PARTS_MAX + 1)
    if not parts or before or len(parts) > PARTS_MAX or not parts[-1].startswith(b"--"):
        raise _malformed("it has no end, no parts, or too many")
    return dict(_read_part(part) for part in parts[:-1])


def _read_part(part: bytes) -> tuple[str, Part]:
    head, gap, content = part.partition(b"\r\n\r\n")
    name = _NAME.search(head)
    if not gap or name is None:
        raise _malformed("a part has no name")
    filename = _FILENAME.search(head)
    shown = filename[1].decode("utf-8", "replace") if filename else ""
    return name[1].decode("utf-8", "replace"), Part(shown, content)


def _malformed(why: str) -> Refusal:
    return Refusal(400, "invalid_value", f"the form cannot be read: {why}")
