"""The kinds of values that commands take, each by the name that `--help` shows for it."""

import re
from collections.abc import Callable
from typing import Any

from click.types import FuncParamType

from p2p_modelex.cli.text import parse_duration
from p2p_modelex.errors import BadInput
from p2p_modelex.ids import Digest, PublicKey, parse_address, parse_peer_id, public_key_of
from p2p_modelex.units import parse_ai


def _kind(name: str, parse: Callable[[str], Any]) -> Any:
    """Return click's type for what `parse` parses, which raises BadInput."""
    kind = FuncParamType(parse)
    kind.name = name
    return kind


def _parse_peer(text: str) -> PublicKey:
    return public_key_of(parse_peer_id(text))


def _parse_digest(text: str) -> Digest:
    digits = text.removeprefix("0x")
    if re.fullmatch("[0-9a-fA-F]{64}", digits) is None:
        raise BadInput(f"not a digest: {text[:80]!r}", hint="write 64 hexadecimal digits")
    return Digest(bytes.fromhex(digits))


ADDRESS = _kind("address", parse_address)
AMOUNT = _kind("AI", parse_ai)
DIGEST = _kind("digest", _parse_digest)
"""64 hexadecimal digits, with or without 0x."""
DURATION = _kind("duration", parse_duration)
PEER = _kind("peer", _parse_peer)
"""A peer id, given to the command as its public key."""
