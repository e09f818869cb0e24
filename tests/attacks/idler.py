"""A peer that connects five times, answers what it must, and waits; to be frozen by a test.

python -m tests.attacks.idler ADDRESS
"""

import json
import os
import sys
from typing import Any

import trio

from p2p_modelex.net.libp2p.configuration import Libp2pConfiguration
from p2p_modelex.net.libp2p.host import parse_peer_address
from p2p_modelex.net.libp2p.network import Libp2pNetwork

CONNECTIONS = 5


async def _idle(address: str) -> None:
    peer, plain = parse_peer_address(address)
    async with trio.open_nursery() as nursery:

        async def live(task_status: Any) -> None:
            network = Libp2pNetwork(os.urandom(32), Libp2pConfiguration())
            async with network.run():
                await network.dial(peer, (plain,))
                await network.ping(peer)
                task_status.started()
                await trio.sleep_forever()

        for _ in range(CONNECTIONS):
            await nursery.start(live)
        print(json.dumps({"ready": True}), flush=True)  # noqa: T201 - the test reads it
        await trio.to_thread.run_sync(sys.stdin.read)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(_idle, sys.argv[1])
