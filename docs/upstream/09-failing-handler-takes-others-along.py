"""A handler that raises, as a read of a stream that its peer closed does, ends more than itself."""

import sys

import trio
from libp2p import new_host
from libp2p.peer.peerinfo import PeerInfo
from multiaddr import Multiaddr

LISTEN = [Multiaddr("/ip4/127.0.0.1/tcp/0")]
ECHO = "/echo/1"


async def echo(stream):
    """What anybody writes first: the end of a stream raises StreamEOF, a reset StreamReset."""
    while True:
        await stream.write(await stream.read(1024))


async def ask(host, victim) -> bool:
    try:
        with trio.fail_after(5):
            stream = await host.new_stream(victim.get_id(), [ECHO])
            await stream.write(b"x")
            answer = await stream.read(1)
            await stream.close()
            return answer == b"x"
    except Exception as error:
        print("a new stream of the same connection:", repr(error)[:120])
        return False


async def run_victim(victim, outcome):
    try:
        async with victim.run(LISTEN):
            await trio.sleep_forever()
    except Exception as error:
        outcome.append(error)


async def main():
    victim, guest, outcome, answers = new_host(), new_host(), [], []
    victim.set_stream_handler(ECHO, echo)
    async with trio.open_nursery() as nursery, guest.run(LISTEN):
        nursery.start_soon(run_victim, victim, outcome)
        while not victim.get_addrs():
            await trio.sleep(0.05)
        await guest.connect(PeerInfo(victim.get_id(), victim.get_addrs()))
        for _ in range(3):
            answers.append(await ask(guest, victim))
            await trio.sleep(1)
        nursery.cancel_scope.cancel()
    print("answers to three questions:", answers)
    for error in outcome:
        print("the victim's run() raised:", repr(error)[:300])
    return 1 if all(answers) and not outcome else 0


if __name__ == "__main__":
    sys.exit(trio.run(main))
