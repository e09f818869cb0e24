"""The process behind `modelex chain devnet --engine pyevm`; `chain/devnet.py` starts it."""

import signal
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click
import trio

from p2p_modelex.chain.devnet import CHAIN_ID, TEST_BALANCE, TEST_KEYS
from p2p_modelex.chain.pyevm.envelope import Answer
from p2p_modelex.chain.pyevm.server import RpcServer, listen
from p2p_modelex.chain.pyevm.state_file import StateFile
from p2p_modelex.errors import ModelexError
from p2p_modelex.records.signers import EvmSigner


class _Devnet:
    def __init__(self, state: StateFile | None) -> None:
        # py-evm takes seconds to import, and what can be refused is refused before.
        from p2p_modelex.chain.pyevm.evm import PrivateChain
        from p2p_modelex.chain.pyevm.methods import Methods

        self._state = state
        store = state.store if state else {}
        balances = {EvmSigner(key).address: TEST_BALANCE for key in TEST_KEYS}
        self._chain = PrivateChain(store, CHAIN_ID, balances, time.time)
        self._keep()
        self._methods = Methods(self._chain)
        self._server = RpcServer(self._answer)

    async def run(self, listeners: Sequence[trio.SocketListener], block_time: int | None) -> None:
        """Serve until SIGTERM."""
        with trio.open_signal_receiver(signal.SIGTERM) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._server.serve, listeners)
                if block_time:
                    self._chain.mines_at_once = False
                    nursery.start_soon(self._mine_often, block_time)
                host, port = listeners[0].socket.getsockname()
                click.echo(f"Listening on {host}:{port}")
                async for _ in signals:
                    nursery.cancel_scope.cancel()

    def _answer(self, request: Any) -> Answer:
        answer = self._methods.answer(request)
        self._keep()
        return answer

    async def _mine_often(self, interval_s: int) -> None:
        while True:
            await trio.sleep(interval_s)
            async with self._server.lock:
                await trio.to_thread.run_sync(self._mine)

    def _mine(self) -> None:
        self._chain.mine()
        self._keep()

    def _keep(self) -> None:
        if self._state:
            self._state.keep()


@click.command()
@click.option("--port", type=int, required=True)
@click.option("--state", type=click.Path(path_type=Path))
@click.option("--block-time", type=click.IntRange(min=1))
def main(port: int, state: Path | None, block_time: int | None) -> None:
    """Run the chain until SIGTERM."""

    async def run() -> None:
        listeners = await listen(port)
        with StateFile(state) if state else nullcontext() as file:
            await _Devnet(file).run(listeners, block_time)

    try:
        trio.run(run)
    except (ModelexError, OSError) as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
