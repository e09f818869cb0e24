"""The small economy that victim, honest requester and attackers agree on without talking.

Each process keeps a memory chain of its own in which the same channels were opened in the same
order, so that a channel's identifier is the same in all of them. Nothing in a test settles.
"""

from collections.abc import Sequence
from pathlib import Path

from p2p_modelex.chain.abc import Outbox
from p2p_modelex.chain.memory import MemoryChain
from p2p_modelex.chain.memory_ledger import MemoryLedger
from p2p_modelex.ids import Address, Digest
from p2p_modelex.node.driver import wall_clock
from p2p_modelex.records.channel import PAYER_SIGNS, ChannelState, ChannelTerms
from p2p_modelex.units import AI, Wei
from tests.node.world import DEPLOYMENT, make_keys

VICTIM, HONEST = 1, 2
ATTACKERS = tuple(range(60, 68))
"""Attackers with a funded channel to the victim: the numbers of `tests.node.world.make_keys`."""

DEPOSIT = Wei(10 * AI)
"""As the configuration's `auto_deposit`, which is what the honest requester will put in."""

ROOT = Path(__file__).parents[2]


def build_ledger(payers: Sequence[int] = (HONEST, *ATTACKERS)) -> MemoryLedger:
    """Return a ledger where each payer has one open channel to the victim, in this order."""
    ledger = MemoryLedger(DEPLOYMENT, now=lambda: wall_clock() // 1000, challenge_s=3600)
    payee = make_keys(VICTIM).account.address
    for number in payers:
        payer = make_keys(number).account.address
        ledger.mint(payer, Wei(2 * DEPOSIT))
        ledger.open_channel(payer, payee, DEPOSIT, PAYER_SIGNS)
    return ledger


class MirroredChain(MemoryChain):
    """A chain whose channels are numbered in the order of their opening, whatever salt is asked."""

    async def open_channel(
        self,
        payee: Address,
        deposit: Wei,
        signer: Address,
        salt: Digest | None = None,
        outbox: Outbox | None = None,
    ) -> ChannelState:
        return await super().open_channel(payee, deposit, signer, None, outbox)


def terms_of(number: int) -> ChannelTerms:
    """Of the channel of one payer to the victim, as every process has it."""
    ledger = build_ledger()
    payer = make_keys(number).account.address
    states = [ledger.channel(event.channel) for event in ledger.history.since(0)]
    [opened] = [state for state in states if state is not None and state.payer == payer]
    return opened.terms
