"""A writer whose reader pauses for more than 5 s is reset, whatever the reader would do next."""

import sys

import trio
from libp2p import new_host
from libp2p.peer.peerinfo import PeerInfo
from multiaddr import Multiaddr

LISTEN = [Multiaddr("/ip4/127.0.0.1/tcp/0")]
RAW = "/raw/1"


async def pause(_stream):
    await trio.sleep_forever()


async def main():
    one, other, broken = new_host(), new_host(), False
    other.set_stream_handler(RAW, pause)
    async with one.run(LISTEN), other.run(LISTEN):
        await one.connect(PeerInfo(other.get_id(), other.get_addrs()))
        stream = await one.new_stream(other.get_id(), [RAW])
        began = trio.current_time()
        with trio.move_on_after(12):
            try:
                # The window grows by itself up to 16 MiB before a pause is felt.
                await stream.write(bytes(24 * 2**20))
            except Exception as error:
                broken = True
                print(f"after {trio.current_time() - began:.1f} s:", repr(error)[:150])
    return 0 if broken else 1


if __name__ == "__main__":
    sys.exit(trio.run(main))
