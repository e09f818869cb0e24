"""A provider's process: the node of a home, with an engine that needs no model.

Arguments: HOME, and the ms that a token takes, 4 if it is not said.
"""

import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from p2p_modelex.cli import fail
from p2p_modelex.cli.common import read_home
from p2p_modelex.cli.serve import serve
from p2p_modelex.engine.abc import Engine
from p2p_modelex.engine.memory import MemoryEngine
from p2p_modelex.errors import ModelexError
from p2p_modelex.keys.signers import KeyRing
from p2p_modelex.node.assembly import open_node
from p2p_modelex.node.configuration import Configuration
from p2p_modelex.node.failures import flattened
from p2p_modelex.node.home import Home
from p2p_modelex.node.model_settings import ModelSettings
from p2p_modelex.node.node import Node
from tests.chaos.stage import TOKENS_MAX

TOKEN_MS = float(sys.argv[2]) if len(sys.argv) > 2 else 4.0


def open_engine(home: Home, settings: ModelSettings) -> Engine:
    return MemoryEngine(settings.model, delay_s=TOKEN_MS / 1000, length=TOKENS_MAX)


def open_seller(
    home: Home, configuration: Configuration, keys: KeyRing
) -> AbstractAsyncContextManager[Node]:
    return open_node(home, configuration, keys, open_engine=open_engine)


if __name__ == "__main__":
    place = Home(Path(sys.argv[1]))
    try:
        with flattened():
            serve(place, read_home(place), open_seller)
    except ModelexError as error:
        fail(error)
