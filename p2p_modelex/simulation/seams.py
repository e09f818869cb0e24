"""The one place where a simulation reaches into records/ and core/: six names.

Each is called through its module, so that another of the same meaning can stand in for it while a
world runs: a notary for the signatures, and where thousands of nodes in one process read, judge and
keep the same bytes, a catalogue of what is equal in all of them. The cores do not know, and a test
holds the digests of both ways to be equal.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import msgspec

from p2p_modelex.core.directory import holdings, reading
from p2p_modelex.records import codec, eip712, envelope, farm, ownership
from p2p_modelex.records.advertisement import Announcements
from p2p_modelex.records.reconciliation import Offered, Pulled, Records
from p2p_modelex.simulation.models.cryptography import Notary
from p2p_modelex.simulation.nodes.catalogue import Catalogue
from p2p_modelex.simulation.nodes.holdings import SharedHoldings

DECODED_MAX = 200_000
"""Decoded values kept, at 1 to 2 KiB each; the cache begins anew when it is full."""


@contextmanager
def entered(notary: Notary, catalogue: Catalogue | None) -> Iterator[None]:
    """Let signatures go through a notary, and with a catalogue let equal bytes be decoded, judged
    and kept once for all nodes. Worlds take turns: one at a time is entered in a process.
    """
    places: list[tuple[Any, str, Callable[..., Any]]] = [
        (envelope, "verify", notary.verify),
        (eip712, "recover", notary.recover),
    ]
    if catalogue is not None:
        places += [
            (codec, "decode", SharedDecoder(codec.decode).decode),
            (reading, "read", catalogue.read),
            (reading, "judge", catalogue.judge),
            (holdings, "Holdings", partial(SharedHoldings, catalogue)),
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
    """Decodes equal announcements once, which reach every node as the same bytes, and lets equal
    envelopes be one object: what comes out is frozen, so all may hold the same.
    """

    def __init__(self, decode: Callable[..., Any]) -> None:
        self._decode = decode
        self._known: dict[bytes, Any] = {}
        self._envelopes: dict[bytes, bytes] = {}

    def decode(self, kind: Any, data: bytes, *, limit: int) -> Any:
        """As records.codec.decode."""
        if kind is not Announcements:
            return self._keep_one(self._decode(kind, data, limit=limit))
        found = self._known.get(data)
        if found is None or len(data) > limit:
            found = self._decode(kind, data, limit=limit)
            if len(self._known) >= DECODED_MAX:
                self._known.clear()
            self._known[data] = found
        return found

    def _keep_one(self, message: Any) -> Any:
        if not isinstance(message, Records | Pulled | Offered):
            return message
        if len(self._envelopes) >= DECODED_MAX:
            self._envelopes.clear()
        one = tuple(self._envelopes.setdefault(each, each) for each in message.envelopes)
        return msgspec.structs.replace(message, envelopes=one)
