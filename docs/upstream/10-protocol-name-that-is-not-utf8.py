"""Two bytes that are not UTF-8, where a protocol's name should be, end the host."""

import sys

import trio
from libp2p import new_host
from libp2p.peer.peerinfo import PeerInfo
from multiaddr import Multiaddr

LISTEN = [Multiaddr("/ip4/127.0.0.1/tcp/0")]


async def run_victim(victim, outcome):
    try:
        async with victim.run(LISTEN):
            await trio.sleep_forever()
    except BaseExceptionGroup as error:
        outcome.append(error)


async def main():
    victim, attacker, outcome = new_host(), new_host(), []
    async with trio.open_nursery() as nursery, attacker.run(LISTEN):
        nursery.start_soon(run_victim, victim, outcome)
        while not victim.get_addrs():
            await trio.sleep(0.05)
        await attacker.connect(PeerInfo(victim.get_id(), victim.get_addrs()))
        stream = await attacker.get_network().new_stream(victim.get_id())
        await stream.write(b"\x03\xff\xfe\n")
        with trio.move_on_after(10):
            while not outcome:
                await trio.sleep(0.1)
        nursery.cancel_scope.cancel()
    died = [one for one in outcome if one.subgroup(UnicodeDecodeError)]
    for error in died:
        print("the victim's run() raised:", repr(error)[:300])
    return 0 if died else 1


if __name__ == "__main__":
    sys.exit(trio.run(main))
