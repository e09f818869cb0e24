"""Payments that were brought to the chain and are not answered yet, durably.

Whoever paid and got no answer, since the node crashed or every provider failed, may ask again with
the same payment.
"""

import time

import msgspec

from p2p_modelex.ids import Address, Digest
from p2p_modelex.node.gateway.books import Books
from p2p_modelex.records import codec
from p2p_modelex.records.rows import SettingRow
from p2p_modelex.records.types import U16, U64, Bytes20, Bytes32
from p2p_modelex.units import Wei

KEPT_S = 24 * 3600
"""How long somebody may ask again."""
TRIES_MAX = 3
"""How often. What begins and fails may have said a lot, and be made to fail by who asks."""
PAYMENTS_MAX = 1024
"""Beyond it the oldest is forgotten: it has to have been paid, which makes a flood dear."""
_SETTING = "gateway/payments"
_SETTING_BYTES = 512 * PAYMENTS_MAX


class Unanswered(msgspec.Struct, frozen=True, array_like=True):
    """One payment. amount: wei of split epoch `epoch`. paid_at: unix seconds.

    transaction: its hash, zeros while it is on its way. tries: requests that failed since.
    """

    payer: Bytes20
    nonce: Bytes32
    amount: Wei
    epoch: U16
    paid_at: U64
    transaction: Bytes32
    tries: U16 = 0


Name = tuple[Address, Digest]
"""A payment is its payer's and has a nonce of its own."""


class Journal:
    """The payments that are not answered."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._kept: dict[Name, Unanswered] = {}

    async def load(self) -> None:
        """Read what earlier runs left; call once, first."""
        value = await self._books.setting(_SETTING)
        if value is not None:
            kept = codec.decode(tuple[Unanswered, ...], value, limit=_SETTING_BYTES)
            self._kept = {_name(one): one for one in kept}

    def find(self, name: Name) -> Unanswered | None:
        """Return a payment that was made before, None for a new one."""
        return self._kept.get(name)

    async def note(self, payment: Unanswered) -> None:
        """Keep a payment as it is now; durable when this returns."""
        self._kept[_name(payment)] = payment
        oldest = int(time.time()) - KEPT_S
        self._kept = {name: one for name, one in self._kept.items() if one.paid_at >= oldest}
        while len(self._kept) > PAYMENTS_MAX:
            del self._kept[next(iter(self._kept))]
        await self._write()

    async def count_failure(self, name: Name) -> None:
        """A request with this payment failed; durable when this returns."""
        payment = self._kept.get(name)
        if payment is None or payment.tries + 1 >= TRIES_MAX:
            await self.close(name)
        else:
            await self.note(msgspec.structs.replace(payment, tries=payment.tries + 1))

    async def close(self, name: Name) -> None:
        """Forget a payment: it is answered, or did not move any money."""
        if self._kept.pop(name, None) is not None:
            await self._write()

    async def _write(self) -> None:
        kept = codec.encode(tuple(self._kept.values()))
        await self._books.keep((SettingRow(_SETTING, kept),))


def _name(payment: Unanswered) -> Name:
    return Address(payment.payer), Digest(payment.nonce)
