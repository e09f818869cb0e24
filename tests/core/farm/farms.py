"""Farms with keys, and the certificates they sign."""

from typing import Any

import msgspec

from p2p_modelex.ids import NetworkId, PublicKey
from p2p_modelex.records import codec
from p2p_modelex.records.envelope import Envelope, seal
from p2p_modelex.records.farm import CERTIFICATE_DOMAIN, RECORD_DOMAIN, Certificate, FarmRecord
from tests.core.directory.worlds import NETWORK, NOW, TTL, Key

PAYEE = b"\xfa" * 20
DAY = 86_400_000


class Farm(Key):
    """An owner's key and the farm's name."""

    def __init__(self, number: int = 41, name: str = "harvest") -> None:
        super().__init__(number)
        self.name = name

    def certificate(self, member: PublicKey, **changes: Any) -> Certificate:
        plain = Certificate(
            self.name, member, PAYEE, 1, 5_000, 1, NOW - DAY, max(NOW + DAY, NOW + TTL)
        )
        return msgspec.structs.replace(plain, **changes)

    def admit(self, member: PublicKey, network: NetworkId = NETWORK, **changes: Any) -> Envelope:
        payload = codec.encode(self.certificate(member, **changes))
        return seal(CERTIFICATE_DOMAIN, network, payload, self)

    def record(self, sequence: int = NOW, network: NetworkId = NETWORK, **changes: Any) -> bytes:
        plain = FarmRecord(self.name, sequence, 7 * DAY, PAYEE, ())
        payload = codec.encode(msgspec.structs.replace(plain, **changes))
        return codec.encode(seal(RECORD_DOMAIN, network, payload, self))


FARM, OTHER_FARM = Farm(), Farm(42, "orchard")
