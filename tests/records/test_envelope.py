"""ENV-1 and ENV-2: a signature holds for its domain, network and exact bytes, and for no other."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from p2p_modelex.errors import RemoteProtocolError
from p2p_modelex.ids import NetworkId, PublicKey
from p2p_modelex.records import envelope

domains = st.text(st.characters(codec="ascii", exclude_characters="\0"), min_size=1, max_size=16)
networks = st.binary(min_size=32, max_size=32).map(NetworkId)
statements = st.tuples(domains, networks, st.binary(max_size=100))


class Key:
    """An Ed25519 key in memory."""

    def __init__(self) -> None:
        self._key = SigningKey(b"\x05" * 32)

    @property
    def public_key(self) -> PublicKey:
        return PublicKey(bytes(self._key.verify_key))

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message).signature


@given(statements, statements)
def test_different_statements_are_covered_by_different_bytes(
    one: tuple[str, NetworkId, bytes], other: tuple[str, NetworkId, bytes]
) -> None:
    assume(one != other)
    assert envelope.signing_input(*one) != envelope.signing_input(*other)


@given(statements, statements)
def test_a_signature_holds_for_its_own_statement_only(
    one: tuple[str, NetworkId, bytes], other: tuple[str, NetworkId, bytes]
) -> None:
    assume(one != other)
    domain, network, payload = one
    sealed = envelope.seal(domain, network, payload, Key())
    envelope.verify(sealed, domain, network)
    moved = envelope.Envelope(sealed.signer, other[2], sealed.signature)
    with pytest.raises(RemoteProtocolError, match="ENV-2"):
        envelope.verify(moved, other[0], other[1])


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=64, max_size=64))
def test_any_key_and_signature_are_judged(signer: bytes, signature: bytes) -> None:
    forged = envelope.Envelope(signer, b"", signature)
    with pytest.raises(RemoteProtocolError, match="ENV-2"):
        envelope.verify(forged, "quote", NetworkId(bytes(32)))
