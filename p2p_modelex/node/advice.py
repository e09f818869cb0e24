"""Commands that messages tell people to type: whole, so that they work where they are pasted."""

import shlex
from pathlib import Path

from p2p_modelex.ids import Address, format_address
from p2p_modelex.node.configuration import NetworkSettings

RPC_URL = NetworkSettings().rpc_url
NETWORK_FILE = Path("network.toml")


def write_grant_command(account: Address, rpc_url: str, network_file: Path) -> str:
    """Return the command that grants an account test money, without options at their defaults."""
    words = ["modelex", "chain", "grant", format_address(account)]
    if rpc_url != RPC_URL:
        words += ["--rpc", rpc_url]
    if network_file != NETWORK_FILE:
        words += ["--network-file", str(network_file)]
    return shlex.join(words)
