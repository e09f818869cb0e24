"""The victim: a provider as it ships, in a process of its own, on real sockets and a real store.

python -m tests.attacks.victim FOLDER OPTIONS

OPTIONS is a JSON object: `network` replaces options of Libp2pConfiguration, `slots` and `delay_s`
are the engine's. Engine and chain are the memory ones. Prints its address, then answers each line
on standard input with its counters.
"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import trio

from p2p_modelex.chain.memory import MemoryChain
from p2p_modelex.engine.memory import MemoryEngine
from p2p_modelex.ids import ChannelId, format_peer_id
from p2p_modelex.net.libp2p.network import Libp2pNetwork
from p2p_modelex.node.assembly import configure_network
from p2p_modelex.node.configuration import Configuration, LogSettings
from p2p_modelex.node.driver import wall_clock
from p2p_modelex.node.log import configure_log
from p2p_modelex.node.model_settings import ModelSettings
from p2p_modelex.node.node import Node
from p2p_modelex.node.parts import Parts
from p2p_modelex.node.shop import build_shop
from p2p_modelex.store.sqlite import SqliteStore
from p2p_modelex.units import Epoch
from tests.attacks.world import VICTIM, build_ledger
from tests.node.world import DEPLOYMENT, MODEL, PRICE, make_keys


def main() -> None:
    folder, options = Path(sys.argv[1]), json.loads(sys.argv[2])
    configure_log(LogSettings(format="json"))
    trio.run(_serve, folder, options)


async def _serve(folder: Path, options: dict[str, Any]) -> None:
    keys = make_keys(VICTIM)
    settings = ModelSettings(model=MODEL, prompt_price=PRICE, completion_price=PRICE)
    defaults = Configuration()
    configuration = dataclasses.replace(
        defaults,
        role="provider",
        mesh=dataclasses.replace(defaults.mesh, listen=("/ip4/127.0.0.1/tcp/0",)),
        models=(settings,),
    )
    network = Libp2pNetwork(
        keys.peer_seed,
        dataclasses.replace(configure_network(configuration), **options.get("network", {})),
    )
    engine = MemoryEngine(MODEL, slots=options.get("slots", 4), delay_s=options.get("delay_s", 0.0))
    chain = MemoryChain(build_ledger(), keys.account.address)
    async with engine, SqliteStore(folder / "victim.db", network=DEPLOYMENT.network) as store:
        engines = {MODEL: engine}
        shop = build_shop(keys, DEPLOYMENT, (settings,), engines, Epoch(0), wall_clock())
        node = Node(Parts(network, store, chain, engines, keys, DEPLOYMENT), configuration, shop)
        async with node.serve():
            _say({"address": f"{network.addresses[0]}/p2p/{format_peer_id(node.peer)}"})
            await _answer(node)


async def _answer(node: Node) -> None:
    asked = trio.lowlevel.FdStream(sys.stdin.fileno())
    async for lines in asked:
        for _ in range(lines.count(b"\n")):
            told = dataclasses.asdict(node.parts.network.statistics())
            _say(
                {
                    **told,
                    "directory": len(node.core.directory.entries()),
                    "peers_known": _count_peers(node.parts.network),
                    "debt": _count_debt(node),
                }
            )


def _count_peers(network: Any) -> int:
    """How many peers the address book has an entry for."""
    return len(network._connections._host.get_peerstore().peer_data_map)


def _count_debt(node: Node) -> int:
    """Wei that jobs which are over earned over their vouchers, of all payers."""
    ledger = node.core.payee
    return sum(ledger.get_debt(ChannelId(one.channel)) for one in ledger.get_channels())


def _say(words: dict[str, Any]) -> None:
    print(json.dumps(words), flush=True)  # noqa: T201 - the harness reads it


if __name__ == "__main__":
    main()
