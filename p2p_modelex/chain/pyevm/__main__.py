"""The process behind `modelex chain devnet --engine pyevm`; `chain/devnet.py` starts it."""

import signal
import time
from collections.abc import Sequence
from pathlib import Path

import click
import trio

from p2p_modelex.chain.devnet import CHAIN_ID, STATE_INTERVAL_S, TEST_BALANCE, TEST_KEYS
from p2p_modelex.chain.pyevm.server import RpcServer, listen
from p2p_modelex.chain.pyevm.state_file import read_state, write_state
from p2p_modelex.errors import ModelexError
from p2p_modelex.records.signers import EvmSigner


class _Devnet:
    def __init__(self, state_file: Path | None, store: dict[bytes, bytes]) -> None:
        # py-evm takes seconds to import, and what can be refused is refused before.
        from p2p_modelex.chain.pyevm.evm import PrivateChain
        from p2p_modelex.chain.pyevm.methods import Methods

        self._state_file = state_file
        self._store = store
        self._kept = len(store)
        balances = {EvmSigner(key).address: TEST_BALANCE for key in TEST_KEYS}
        self._chain = PrivateChain(store, CHAIN_ID, balances, time.time)
        self._server = RpcServer(Methods(self._chain).answer)

    async def run(self, listeners: Sequence[trio.SocketListener], block_time: int | None) -> None:
        """Serve until SIGTERM, then keep the state a last time."""
        with trio.open_signal_receiver(signal.SIGTERM) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._server.serve, listeners)
                if self._state_file:
                    nursery.start_soon(self._keep_often)
                if block_time:
                    self._chain.mines_at_once = False
                    nursery.start_soon(self._mine_often, block_time)
                host, port = listeners[0].socket.getsockname()
                click.echo(f"Listening on {host}:{port}")
                async for _ in signals:
                    nursery.cancel_scope.cancel()
            # Still under the receiver: both our owner and the guard send a SIGTERM, and the
            # second must not cut this short.
            await self._keep()

    async def _mine_often(self, interval_s: int) -> None:
        while True:
            await trio.sleep(interval_s)
            async with self._server.lock:
                await trio.to_thread.run_sync(self._chain.mine)

    async def _keep_often(self) -> None:
        while True:
            await trio.sleep(STATE_INTERVAL_S)
            await self._keep()

    async def _keep(self) -> None:
        async with self._server.lock:
            store = dict(self._store)
        # Nothing is ever taken out, so as many entries as before are the same ones.
        if self._state_file and len(store) != self._kept:
            await trio.to_thread.run_sync(write_state, self._state_file, store)
            self._kept = len(store)


@click.command()
@click.option("--port", type=int, required=True)
@click.option("--state", type=click.Path(path_type=Path))
@click.option("--block-time", type=click.IntRange(min=1))
def main(port: int, state: Path | None, block_time: int | None) -> None:
    """Run the chain until SIGTERM."""

    async def run() -> None:
        listeners = await listen(port)
        await _Devnet(state, read_state(state) if state else {}).run(listeners, block_time)

    try:
        trio.run(run)
    except (ModelexError, OSError) as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
