"""What must hold at every step, checked from outside the cores: by what they send, keep and blame.

A checker knows what happened, not what a node believes: who signed what, what the chain holds, what
crossed the wire. A breach stops the run with a SimulationError that names node and time.
"""

from collections.abc import Callable, Mapping
from typing import Any

from p2p_modelex import limits
from p2p_modelex.chain.memory_ledger import MemoryLedger
from p2p_modelex.core import effects as fx
from p2p_modelex.errors import SimulationError
from p2p_modelex.ids import ChannelId, PeerId
from p2p_modelex.records import envelope, receipt, voucher
from p2p_modelex.records.advertisement import DOMAIN
from p2p_modelex.records.rows import ReceiptRow, ReceivedVoucherRow, RecordRow, Row
from p2p_modelex.simulation.models.chain import DEPLOYMENT, ChainModel
from p2p_modelex.simulation.models.cryptography import Notary
from p2p_modelex.simulation.models.splits import level
from p2p_modelex.simulation.models.transactions import Deposit, get_signed
from p2p_modelex.simulation.nodes.life import Life
from p2p_modelex.simulation.nodes.machine import Machine
from p2p_modelex.simulation.scenario.quantities import seconds
from p2p_modelex.units import SPLITS_MAX

EXPIRY_SLACK_MS = 3_000
"""Entries are taken out up to a second late (directory machine), and a busy CPU adds to it."""
HONEST_OFFENCES = ("unpaid", "stalled")
"""What an honest node may be blamed for when links break and processes die."""
GENUINE_MAX = 200_000
"""Envelopes known to be genuine are not looked at again."""


def breach(life: Life, what: str) -> SimulationError:
    """Return the error that names node and time."""
    return SimulationError(f"node {life.number} at {seconds(life.kernel.now):.6f} s: {what}")


class Checkers:
    """Money, forgeries, directories, blame; exposure.py has the rest."""

    def __init__(
        self, machines: Mapping[PeerId, Machine], notary: Notary, chain: ChainModel | None
    ) -> None:
        self._machines = machines
        self._notary = notary
        self.chain = chain
        self.minted = 0
        """What was given out at the start, in wei."""
        self._genuine: dict[bytes, None] = {}
        self._promises: dict[bytes, dict[int, int]] = {}
        """By channel, what each lane's vouchers promise (`level`), whichever members of a farm keep
        them.
        """
        self._takes: dict[type, Callable[[Machine, Life, Any], None]] = {
            RecordRow: self._check_record,
            ReceivedVoucherRow: self._check_voucher,
            ReceiptRow: self._check_receipt,
        }

    def check_supply(self, ledger: MemoryLedger) -> None:
        """Money is neither made nor lost by a transaction."""
        minted = self.minted << ledger.split().epoch
        if ledger.supply != minted:
            raise SimulationError(f"there are {ledger.supply} wei, {minted} were given out")

    def on_rows(self, life: Life, rows: tuple[Row, ...]) -> None:
        """What an honest node keeps is genuine, and newer than what it replaces."""
        machine = self._machines[life.peer]
        if machine.is_honest:
            for row in rows:
                check = self._takes.get(type(row))
                if check is not None:
                    check(machine, life, row)

    def _check_record(self, machine: Machine, life: Life, row: RecordRow) -> None:
        if row.expires_at <= life.now_ms:
            raise breach(life, f"it keeps an advertisement that expired at {row.expires_at}")
        known = machine.disk.records.get(row.peer)
        if known is not None and known.sequence > row.sequence:
            raise breach(life, f"it replaces sequence {known.sequence} by {row.sequence}")
        if row.envelope in self._genuine:
            return
        opened = envelope.decode_envelope(row.envelope, limit=limits.ADVERTISEMENT_BYTES)
        message = envelope.signing_input(DOMAIN, DEPLOYMENT.network, opened.payload)
        if opened.peer != row.peer or not self._notary.has_signed(row.peer, message):
            raise breach(life, "it keeps an advertisement that its peer never signed")
        if len(self._genuine) >= GENUINE_MAX:
            self._genuine.clear()
        self._genuine[row.envelope] = None

    def _check_voucher(self, _: Machine, life: Life, row: ReceivedVoucherRow) -> None:
        promise = row.signed.voucher
        state = self.chain.known.get(ChannelId(promise.channel)) if self.chain else None
        digest = voucher.compute_digest(promise, DEPLOYMENT.channels_domain)
        if state is None or not self._notary.account_has_signed(state.voucher_signer, digest):
            raise breach(life, "it keeps a voucher that its payer never signed")
        lanes = self._promises.setdefault(promise.channel, {})
        amount = level(promise.amount, promise.epoch)
        lanes[promise.lane] = max(amount, lanes.get(promise.lane, 0))
        over = sum(lanes.values()) - level(state.deposit, state.epoch)
        if over > 0:
            promised, more = (one >> SPLITS_MAX for one in (sum(lanes.values()), over))
            said = f"{promised} wei on {len(lanes)} lanes, {more} over the"
            raise breach(life, f"with its voucher a channel's promise {said} deposit")

    def _check_receipt(self, _: Machine, life: Life, row: ReceiptRow) -> None:
        digest = receipt.compute_digest(row.receipt.receipt, DEPLOYMENT.registry_domain)
        if not self._notary.account_has_signed(row.ownership.ownership.delegate, digest):
            raise breach(life, "it keeps a receipt that its provider never signed")

    def on_deposit(self, life: Life, effect: Deposit) -> None:
        """An honest payer has one deposit for a payee under way at most (LED-14). One that a reorg
        undid was under way before.
        """
        if self.chain is None or not self._machines[life.peer].is_honest:
            return
        waiting = self.chain.blocks.find_deposit(life.account, effect.payee)
        if waiting is None or waiting.paid:
            return
        if get_signed(waiting.effect) != effect.signed:
            raise breach(life, f"it deposits again while {waiting.effect} waits for a block")

    def on_penalize(self, life: Life, effect: fx.Penalize) -> None:
        """Honest nodes do not blame honest ones for what only a liar, or a bug, does."""
        blamed = self._machines.get(effect.peer)
        if blamed is None or not blamed.is_honest or not self._machines[life.peer].is_honest:
            return
        if effect.offence not in HONEST_OFFENCES:
            said = f"{effect.offence} ({effect.reason})"
            raise breach(life, f"it blames honest node {blamed.number} for {said}")

    def on_ban(self, life: Life, peer: PeerId) -> None:
        """Honest nodes keep no honest ones away."""
        banned = self._machines.get(peer)
        if banned is not None and banned.is_honest and self._machines[life.peer].is_honest:
            raise breach(life, f"it keeps honest node {banned.number} away")

    def check_directory(self, life: Life) -> None:
        """A directory holds nothing that has expired. Costs a look at each entry."""
        limit = life.now_ms - EXPIRY_SLACK_MS
        for entry in life.core.directory.entries():
            if entry.expires_at <= limit:
                raise breach(life, f"its directory holds what expired at {entry.expires_at}")
