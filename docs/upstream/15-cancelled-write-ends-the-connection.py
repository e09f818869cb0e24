"""Cancelling one write (a timeout) cuts a Yamux frame in two: the whole connection dies."""

import sys

import trio
from libp2p import new_host
from libp2p.peer.peerinfo import PeerInfo
from multiaddr import Multiaddr

LISTEN = [Multiaddr("/ip4/127.0.0.1/tcp/0")]
RAW = "/raw/1"


async def drain(stream):
    try:
        while True:
            await stream.read(65536)
    except Exception:
        await stream.reset()


def hold_back(muxed, gate):
    """Let a peer not read its socket for a while."""
    read = muxed.secured_conn.read

    async def gated(n=None):
        await gate.wait()
        return await read(n)

    muxed.secured_conn.read = gated


async def main():
    one, other, gate = new_host(), new_host(), trio.Event()
    other.set_stream_handler(RAW, drain)
    alive = False
    async with one.run(LISTEN), other.run(LISTEN):
        await one.connect(PeerInfo(other.get_id(), other.get_addrs()))
        streams = [await one.new_stream(other.get_id(), [RAW]) for _ in range(40)]
        [connection] = other.get_network().get_connections()
        hold_back(connection.muxed_conn, gate)
        with trio.move_on_after(0.5):
            async with trio.open_nursery() as nursery:
                for stream in streams:
                    nursery.start_soon(stream.write, bytes(256 * 1024))
        gate.set()
        try:
            with trio.fail_after(3):
                again = await one.new_stream(other.get_id(), [RAW])
                await again.write(b"x")
            alive = True
        except Exception as error:
            print("after a cancelled write, a new stream of the connection:", repr(error)[:200])
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(trio.run(main))
