"""What strangers may make us keep or compute: bounded with the mends, and not without."""

import os
import time
from typing import Any

import pytest
import trio
from Crypto.Util.asn1 import DerSequence
from libp2p.crypto.exceptions import CryptographyError
from libp2p.crypto.pb import crypto_pb2
from libp2p.crypto.serialization import deserialize_public_key
from libp2p.identity.identify.identify import ID as IDENTIFY
from libp2p.identity.identify.identify import _mk_identify_protobuf
from libp2p.peer.id import ID
from libp2p.utils import encode_varint_prefixed

from p2p_modelex.net.libp2p import hostile_input, mends
from p2p_modelex.net.libp2p.network import Libp2pNetwork
from tests.net.contract import PATIENCE_S
from tests.net.libp2p.attacker import connect, open_host

# Mersenne primes: every round of every primality test is run.
_P, _Q, _E = 2**3217 - 1, 2**4253 - 1, 65537
_GREETING = b"\x13/multistream/1.0.0\n"


def build_rsa_private_key() -> bytes:
    d = pow(_E, -1, (_P - 1) * (_Q - 1))
    numbers = [0, _P * _Q, _E, d, _P, _Q, d % (_P - 1), d % (_Q - 1), pow(_Q, -1, _P)]
    key = DerSequence(numbers).encode()
    return crypto_pb2.PublicKey(key_type=crypto_pb2.RSA, data=key).SerializeToString()


@pytest.mark.parametrize("mended", [True, False], ids=["mended", "unmended"])
def test_a_private_key_in_place_of_a_public_one_costs_nothing(mended: bool) -> None:
    mends.apply_mends()
    key = build_rsa_private_key()

    def measure() -> float:
        before = time.process_time()
        with pytest.raises(CryptographyError):
            deserialize_public_key(key)
        return time.process_time() - before

    if mended:
        assert measure() < 0.02
    else:
        with mends.unmended("rsa-keys"):
            assert measure() > 0.05


@pytest.mark.parametrize("mended", [True, False], ids=["mended", "unmended"])
async def test_a_protocol_name_without_end(mended: bool) -> None:
    async def send() -> int:
        victim, sent = Libp2pNetwork(os.urandom(32), None), 0
        async with victim.run():
            port = int(victim.addresses[0].split("/")[4])
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await stream.send_all(_GREETING + b"\x80\x80\x80\x80\x04")
                with trio.move_on_after(PATIENCE_S):
                    try:
                        # More than the buffers of two sockets on loopback.
                        while sent < 24 * 2**20:
                            await stream.send_all(bytes(2**18))
                            sent += 2**18
                    except trio.BrokenResourceError:
                        pass
        return sent

    mends.apply_mends()
    if mended:
        assert await send() < 24 * 2**20
    else:
        with mends.unmended("negotiation-size"):
            assert await send() == 24 * 2**20


@pytest.mark.parametrize("mended", [True, False], ids=["mended", "unmended"])
async def test_identify_with_too_many_protocols(mended: bool) -> None:
    told = 10_000

    async def say_too_much(stream: Any) -> None:
        answer = _mk_identify_protobuf(attacker, None)
        answer.protocols.extend(f"{number:x}" for number in range(told))
        answer.listen_addrs.extend([b"\x04\x01\x02\x03\x04\x06\x00\x01"] * told)
        await stream.write(encode_varint_prefixed(answer.SerializeToString()))
        await stream.close()

    async def count() -> int:
        await connect(victim, network)
        with trio.fail_after(PATIENCE_S):
            while True:
                await trio.sleep(0.02)
                kept = victim.get_peerstore().peer_data_map.get(ID(network.peer))
                if kept is not None and kept.get_protocols():
                    assert len(kept.get_addrs()) <= told
                    return len(kept.get_protocols())

    mends.apply_mends()
    async with open_host() as attacker, open_host() as victim:
        attacker.set_stream_handler(IDENTIFY, say_too_much)
        network: Any = _Seen(attacker)
        if mended:
            assert await count() == hostile_input.PROTOCOLS_MAX
        else:
            with mends.unmended("identify-size"):
                assert await count() > told


class _Seen:
    """A host, as `connect` wants to be told of it."""

    def __init__(self, host: Any) -> None:
        self.peer = host.get_id().to_bytes()
        self.addresses = [str(host.get_transport_addrs()[0])]
