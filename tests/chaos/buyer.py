"""A requester's process: buys until its journal has enough receipts, or calms the books down.

python -m tests.chaos.buyer HOME JOURNAL SEED WANTED [PEER...]

With PEERs it buys a few jobs of each, so that what was in doubt is settled, and waits for SIGTERM.
"""

import random
import signal
import sys
from itertools import count
from pathlib import Path

import trio

from p2p_modelex.cli import fail
from p2p_modelex.cli.common import quiet_log
from p2p_modelex.core.effects import RunRestarted
from p2p_modelex.errors import ModelexError
from p2p_modelex.ids import PeerId, parse_peer_id
from p2p_modelex.node.exchange import Exchange, Terms, connect
from tests.chaos.journal import Journal, sum_up
from tests.chaos.stage import MODEL, PASSPHRASE, TOKENS_MAX

AT_ONCE = 2
RETRY_S = 0.3
CALM_JOBS = 3
CALM_TRIES = 20


class Buyer:
    """Buys job after job and writes down how each ended."""

    def __init__(self, exchange: Exchange, journal: Journal, seed: str) -> None:
        self._exchange = exchange
        self._journal = journal
        self._seed = seed
        told = sum_up(journal.read())
        for number in told.open:
            journal.write(end=number, ok=False, error="killed", reason="the requester was killed")
        self._numbers = count(told.begun)
        self.done = len(told.done)

    async def buy_until(self, wanted: int) -> None:
        while self.done < wanted:
            if not await self.buy(()):
                await trio.sleep(RETRY_S)

    async def buy_of(self, peer: PeerId) -> None:
        """A few jobs of one provider."""
        done = 0
        for _ in range(CALM_TRIES):
            done += await self.buy((peer,))
            if done == CALM_JOBS:
                return
            await trio.sleep(RETRY_S)

    async def buy(self, only: tuple[PeerId, ...]) -> bool:
        number = next(self._numbers)
        tokens = random.Random(f"{self._seed}/{number}").randint(TOKENS_MAX // 4, TOKENS_MAX)
        self._journal.write(begin=number)
        completion = self._exchange.run(
            f"job {number}", model=MODEL, max_tokens=tokens, terms=Terms(only=only)
        )
        why: list[str] = []
        end: dict[str, object] = {"restarts": why}
        try:
            async for piece in completion:
                if isinstance(piece, RunRestarted):
                    why.append(piece.why.code)  # noqa: PERF401 - kept where an error follows
        except ModelexError as error:
            end |= {"ok": False, "error": type(error).__name__, "reason": str(error)[:200]}
        else:
            assert completion.row is not None
            made = completion.row.receipt.receipt
            end |= {"ok": True, "job": made.job.hex(), "price": int(made.price)}
        self._journal.write(end=number, paid=int(completion.paid), **end)
        self.done += bool(end["ok"])
        return bool(end["ok"])


async def main(home: Path, journal: Journal, seed: str, wanted: int, peers: list[PeerId]) -> None:
    async with connect(home, PASSPHRASE) as exchange:
        buyer = Buyer(exchange, journal, seed)
        if not peers:
            async with trio.open_nursery() as nursery:
                for _ in range(AT_ONCE):
                    nursery.start_soon(buyer.buy_until, wanted)
            return
        with trio.open_signal_receiver(signal.SIGTERM) as signals:
            for peer in peers:
                await buyer.buy_of(peer)
            journal.write(calm=True)
            async for _ in signals:
                return


if __name__ == "__main__":
    quiet_log()
    place, file, seed, wanted, *peers = sys.argv[1:]
    try:
        trio.run(
            main,
            Path(place),
            Journal(Path(file)),
            seed,
            int(wanted),
            [parse_peer_id(peer) for peer in peers],
        )
    except ModelexError as error:
        fail(error)
