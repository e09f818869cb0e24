"""The one place where a simulation reaches into records/ and core/: four functions by name.

Each is pure and called through its module, so another function of the same meaning can stand in
for it while a world runs: a notary for the signatures, and caches where thousands of nodes in one
process decode and hash the same bytes. The cores do not know, and a test holds the digests of both
ways to be equal.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import msgspec

from p2p_modelex.core.directory import fingerprint
from p2p_modelex.records import codec, eip712, envelope, farm, ownership
from p2p_modelex.records.advertisement import Advertisement, Announcements
from p2p_modelex.records.envelope import Envelope
from p2p_modelex.records.reconciliation import Offered, Pulled, Records
from p2p_modelex.simulation.models.cryptography import Notary

DECODED_MAX = 200_000
"""Decoded values kept, at 1 to 2 KiB each; the cache begins anew when it is full."""
ELEMENTS_MAX = 200_000
"""Elements of the directory's fingerprints kept, 400 bytes each."""

_SHARED = (Envelope, Advertisement, Announcements)
"""What reaches many nodes as the same bytes; other messages come once."""


@contextmanager
def entered(notary: Notary, *, shares_objects: bool) -> Iterator[None]:
    """Let signatures go through a notary, and with `shares_objects` let equal bytes be decoded once
    for all nodes. Worlds take turns: one at a time is entered in a process.
    """
    places: list[tuple[Any, str, Callable[..., Any]]] = [
        (envelope, "verify", notary.verify),
        (eip712, "recover", notary.recover),
    ]
    if shares_objects:
        places += [
            (codec, "decode", SharedDecoder(codec.decode).decode),
            (fingerprint, "compute_element", lru_cache(ELEMENTS_MAX)(fingerprint.compute_element)),
        ]
    before = [(module, name, getattr(module, name)) for module, name, _ in places]
    _forget_signatures()  # who asks first pays for it, whatever ran here before
    try:
        for module, name, function in places:
            setattr(module, name, function)
        yield
    finally:
        for module, name, function in before:
            setattr(module, name, function)
        _forget_signatures()


def _forget_signatures() -> None:
    ownership._recover.cache_clear()
    farm._is_signed.cache_clear()


class SharedDecoder:
    """Decodes equal bytes once: what comes out is frozen, so all may hold the same object."""

    def __init__(self, decode: Callable[..., Any]) -> None:
        self._decode = decode
        self._known: dict[tuple[Any, bytes], Any] = {}
        self._envelopes: dict[bytes, bytes] = {}

    def decode(self, kind: Any, data: bytes, *, limit: int) -> Any:
        """As records.codec.decode."""
        if kind not in _SHARED:
            return self._keep_one(self._decode(kind, data, limit=limit))
        found = self._known.get((kind, data))
        if found is None or len(data) > limit:
            found = self._decode(kind, data, limit=limit)
            if len(self._known) >= DECODED_MAX:
                self._known.clear()
                self._envelopes.clear()
            self._known[kind, data] = found
        return found

    def _keep_one(self, message: Any) -> Any:
        """Let all directories hold one copy of each envelope."""
        if not isinstance(message, Records | Pulled | Offered):
            return message
        one = tuple(self._envelopes.setdefault(each, each) for each in message.envelopes)
        return msgspec.structs.replace(message, envelopes=one)
