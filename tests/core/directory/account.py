"""An EVM account that signs ownership proofs."""

import coincurve

from p2p_modelex.ids import Address, Digest
from p2p_modelex.records import ownership
from p2p_modelex.records.eip712 import address_of
from p2p_modelex.records.ownership import Ownership, SignedOwnership
from tests.core.directory.worlds import REGISTRY, Key


class Account:
    def __init__(self, number: int) -> None:
        self._key = coincurve.PrivateKey.from_int(number)

    @property
    def address(self) -> Address:
        return address_of(self._key.public_key)

    def sign_digest(self, digest: Digest) -> bytes:
        raw = self._key.sign_recoverable(digest, hasher=None)
        return raw[:64] + bytes([raw[64] + 27])


def proof(key: Key, not_after: int, number: int = 7) -> SignedOwnership:
    account = Account(number)
    statement = Ownership(key.public_key, account.address, account.address, not_after)
    return ownership.sign(statement, REGISTRY, account)
