"""That honest nodes take nobody for a member of a farm whom its owner did not admit, or has put out
as far as they have heard.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from p2p_modelex.core import effects as fx
from p2p_modelex.core.effects import StreamId
from p2p_modelex.core.exchange.parameters import PROTOCOL as EXCHANGE
from p2p_modelex.ids import Address, ChannelId, NetworkId, PublicKey, peer_id_of, public_key_of
from p2p_modelex.records.envelope import signing_input
from p2p_modelex.records.farm import CERTIFICATE_DOMAIN, RECORD_DOMAIN, WHOLE
from p2p_modelex.records.rows import FarmRow, RecordRow, Row
from p2p_modelex.simulation.actors.behaviours.base import tag_of
from p2p_modelex.simulation.checks.checkers import breach
from p2p_modelex.simulation.models.chain import DEPLOYMENT, ChainModel
from p2p_modelex.simulation.models.cryptography import Notary
from p2p_modelex.simulation.nodes.farms import Farm
from p2p_modelex.simulation.nodes.life import Life
from p2p_modelex.simulation.nodes.world import World

_ORDER, _ACCEPT = 2, 3
_FARMS_AT = 7
"""Where an advertisement has its certificates; and likewise below: read without the code that is
under test.
"""
LOOKED_AT_MAX = 200_000
"""Advertisements that are not looked at again."""


class Memberships:
    """Looks at what is kept of farms, and at whom is ordered from through one."""

    def __init__(self, world: World, notary: Notary, chain: ChainModel | None) -> None:
        self._world = world
        self._notary = notary
        self._chain = chain
        self._by_payee: Mapping[Address, Farm] = {one.payee: one for one in world.farms.values()}
        self._looked_at: dict[bytes, None] = {}
        self._newest: dict[tuple[Life, PublicKey], int] = {}
        self._knew: dict[tuple[Life, StreamId], bool] = {}
        """By streams to those who were put out: whether whoever opened it had heard so."""

    def on_rows(self, life: Life, rows: tuple[Row, ...]) -> None:
        """A node keeps an advertisement, or a farm's record."""
        if self._world.machines[life.number].is_honest:
            for row in rows:
                if isinstance(row, RecordRow) and row.envelope not in self._looked_at:
                    self._check_shown(life, row)
                elif isinstance(row, FarmRow):
                    self._check_record(life, row)

    def _check_shown(self, life: Life, row: RecordRow) -> None:
        if len(self._looked_at) >= LOOKED_AT_MAX:
            self._looked_at.clear()
        self._looked_at[row.envelope] = None
        _, payload, _ = msgspec.msgpack.decode(row.envelope)
        for signer, said, _ in msgspec.msgpack.decode(payload)[_FARMS_AT]:
            _, member, _, _, weight, _, since, until = msgspec.msgpack.decode(said)
            is_theirs = member == public_key_of(row.peer) and 1 <= weight <= WHOLE
            is_now = since <= row.sequence and row.expires_at - 1 <= until
            if not (is_theirs and is_now and self._has_signed(signer, CERTIFICATE_DOMAIN, said)):
                raise breach(life, "it keeps a certificate that no farm gave, or for another time")

    def _check_record(self, life: Life, row: FarmRow) -> None:
        signer, said, _ = msgspec.msgpack.decode(row.envelope)
        if signer != row.farm or not self._has_signed(signer, RECORD_DOMAIN, said):
            raise breach(life, "it keeps a record that its farm never signed")
        sequence = msgspec.msgpack.decode(said)[1]
        if sequence <= self._newest.get((life, row.farm), 0) or row.expires_at <= life.now_ms:
            raise breach(life, f"it keeps a farm's record of {sequence}, which is old")
        self._newest[life, row.farm] = sequence

    def _has_signed(self, signer: bytes, domain: str, said: bytes) -> bool:
        message = signing_input(domain, NetworkId(DEPLOYMENT.network), said)
        return self._notary.has_signed(peer_id_of(PublicKey(signer)), message)

    def on_opened(self, life: Life, effect: fx.OpenStream) -> None:
        """Somebody is chosen to be ordered from; what is heard on the way to it is too late."""
        if effect.protocol == EXCHANGE and self._world.machines[life.number].is_honest:
            for farm in self._by_payee.values():
                if effect.peer in farm.past:
                    held = life.core.farming.book.get(farm.key, life.now_ms)
                    knows = held is not None and held.envelope == farm.record
                    self._knew[life, effect.stream] = knows

    def on_sent(self, life: Life, effect: fx.Send) -> None:
        """Who pays a farm orders of a member."""
        tag = tag_of(effect.payload)
        is_order = tag in (_ORDER, _ACCEPT) and life.speaks_exchange(effect.stream)
        if is_order and self._world.machines[life.number].is_honest:
            _, _, *rest = msgspec.msgpack.decode(effect.payload)
            self._check_ordered(life, effect, rest[5] if tag == _ORDER else rest[2])

    def _check_ordered(self, life: Life, effect: fx.Send, signed: list[Any]) -> None:
        state = self._chain.known.get(ChannelId(signed[0][0])) if self._chain else None
        farm = self._by_payee.get(Address(state.payee)) if state else None
        peer = life.peer_of(effect.stream)
        if farm is None or peer in farm.certificates:
            return
        if peer not in farm.past or self._knew[life, effect.stream]:
            number = self._world.by_peer[peer].number
            raise breach(life, f"it pays a farm for what node {number} does, which is not of it")
