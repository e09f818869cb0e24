"""Mends for what py-libp2p 0.8.1 takes from strangers without a bound; mends.py puts them in place.

Reproductions without any of our code: docs/upstream.
"""

from types import SimpleNamespace
from typing import Any

from libp2p.crypto.exceptions import CryptographyError
from libp2p.exceptions import ParseError
from libp2p.utils.varint import read_varint_prefixed_bytes_limited

# Protocol names are tens of bytes; js-libp2p has the same limit.
LINE_BYTES_MAX = 1024
# What is kept of a peer's identify answer: ours has some ten protocols and a few addresses.
PROTOCOLS_MAX = 128
PROTOCOL_BYTES_MAX = 256
LISTEN_ADDRESSES_MAX = 16
RECORD_BYTES_MAX = 4096


def refuse_rsa(_original: Any) -> Any:
    """Read no RSA key: a private one in place of the public is tested for primes for minutes."""

    def refuse(*_arguments: Any, **_options: Any) -> Any:
        raise CryptographyError("RSA keys are not taken: peers here have Ed25519 keys")

    return SimpleNamespace(import_key=refuse, generate=refuse)


def limit_line(_original: Any) -> Any:
    """Read one message of multistream-select, of bounded size."""

    async def read_delim(reader: Any) -> bytes:
        line = await read_varint_prefixed_bytes_limited(reader, LINE_BYTES_MAX)
        if not line.endswith(b"\n"):
            raise ParseError("a protocol name does not end its line")
        return line[:-1]

    return read_delim


def cut_identify(original: Any) -> Any:
    """Keep of an identify answer what an honest peer would say."""

    async def update(peerstore: Any, peer: Any, answer: Any) -> None:
        protocols = [one for one in answer.protocols if len(one) <= PROTOCOL_BYTES_MAX]
        del answer.protocols[:]
        answer.protocols.extend(protocols[:PROTOCOLS_MAX])
        del answer.listen_addrs[LISTEN_ADDRESSES_MAX:]
        if len(answer.signedPeerRecord) > RECORD_BYTES_MAX:
            answer.ClearField("signedPeerRecord")
        await original(peerstore, peer, answer)

    return update
