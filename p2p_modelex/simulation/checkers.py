"""What must hold at every step, checked from outside the cores: by what they send, keep and blame.

A checker knows what happened, not what a node believes: who signed what, what the chain holds, what
crossed the wire. A breach stops the run with a SimulationError that names node and time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from p2p_modelex import limits
from p2p_modelex.chain.memory_ledger import MemoryLedger
from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as inp
from p2p_modelex.errors import SimulationError
from p2p_modelex.ids import ChannelId, PeerId
from p2p_modelex.records import envelope, receipt, voucher
from p2p_modelex.records.advertisement import DOMAIN
from p2p_modelex.records.rows import ReceiptRow, ReceivedVoucherRow, RecordRow, Row
from p2p_modelex.simulation.chain import DEPLOYMENT, ChainModel
from p2p_modelex.simulation.cryptography import Notary
from p2p_modelex.simulation.life import Life
from p2p_modelex.simulation.machine import Machine
from p2p_modelex.simulation.quantities import seconds

EXPIRY_SLACK_MS = 3_000
"""Entries are taken out up to a second late (directory machine), and a busy CPU adds to it."""
HONEST_OFFENCES = ("unpaid", "stalled")
"""What an honest node may be blamed for when links break and processes die."""
GENUINE_MAX = 200_000
"""Envelopes known to be genuine are not looked at again."""
_ORDER, _ACCEPT, _PAY, _QUOTED, _STARTED, _CHUNK = 2, 3, 4, 16, 17, 18
"""Tags of records/job.py, read off the wire without the code that is under test."""


@dataclass(slots=True)
class _Tab:
    """One job on one end of a stream, by what crossed it. Amounts in wei."""

    base: int = 0
    paid: int = 0
    prompt_price: int = 0
    completion_price: int = 0
    prompt_tokens: int = 0
    tokens: int = 0
    window: int = 0

    @property
    def cost(self) -> int:
        return self.prompt_tokens * self.prompt_price + self.tokens * self.completion_price


class Checkers:
    """All of them; see the methods."""

    def __init__(
        self, machines: Mapping[PeerId, Machine], notary: Notary, chain: ChainModel | None
    ) -> None:
        self._machines = machines
        self._notary = notary
        self.chain = chain
        self.minted = 0
        """What was given out at the start, in wei."""
        self._genuine: dict[bytes, None] = {}
        self._tabs: dict[tuple[Life, int], _Tab] = {}
        self._takes: dict[type, Callable[[Machine, Life, Any], None]] = {
            RecordRow: self._check_record,
            ReceivedVoucherRow: self._check_voucher,
            ReceiptRow: self._check_receipt,
        }

    def _fail(self, life: Life, what: str) -> SimulationError:
        at = seconds(life.kernel.now)
        return SimulationError(f"node {life.number} at {at:.6f} s: {what}")

    def check_supply(self, ledger: MemoryLedger) -> None:
        """Money is neither made nor lost by a transaction."""
        if ledger.supply != self.minted:
            raise SimulationError(f"there are {ledger.supply} wei, {self.minted} were given out")

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
            raise self._fail(life, f"it keeps an advertisement that expired at {row.expires_at}")
        known = machine.disk.records.get(row.peer)
        if known is not None and known.sequence > row.sequence:
            raise self._fail(life, f"it replaces sequence {known.sequence} by {row.sequence}")
        if row.envelope in self._genuine:
            return
        opened = envelope.decode_envelope(row.envelope, limit=limits.ADVERTISEMENT_BYTES)
        message = envelope.signing_input(DOMAIN, DEPLOYMENT.network, opened.payload)
        if opened.peer != row.peer or not self._notary.has_signed(row.peer, message):
            raise self._fail(life, "it keeps an advertisement that its peer never signed")
        if len(self._genuine) >= GENUINE_MAX:
            self._genuine.clear()
        self._genuine[row.envelope] = None

    def _check_voucher(self, _: Machine, life: Life, row: ReceivedVoucherRow) -> None:
        promise = row.signed.voucher
        state = self.chain.ledger.channel(ChannelId(promise.channel)) if self.chain else None
        digest = voucher.compute_digest(promise, DEPLOYMENT.channels_domain)
        if state is None or not self._notary.account_has_signed(state.voucher_signer, digest):
            raise self._fail(life, "it keeps a voucher that its payer never signed")
        if promise.amount > state.deposit:
            raise self._fail(life, f"it keeps a voucher of {promise.amount} wei over the deposit")

    def _check_receipt(self, _: Machine, life: Life, row: ReceiptRow) -> None:
        digest = receipt.compute_digest(row.receipt.receipt, DEPLOYMENT.registry_domain)
        if not self._notary.account_has_signed(row.ownership.ownership.delegate, digest):
            raise self._fail(life, "it keeps a receipt that its provider never signed")

    def on_penalize(self, life: Life, effect: fx.Penalize) -> None:
        """Honest nodes do not blame honest ones for what only a liar, or a bug, does."""
        blamed = self._machines.get(effect.peer)
        if blamed is None or not blamed.is_honest or not self._machines[life.peer].is_honest:
            return
        if effect.offence not in HONEST_OFFENCES:
            said = f"{effect.offence} ({effect.reason})"
            raise self._fail(life, f"it blames honest node {blamed.number} for {said}")

    # Exposure: neither side is ever more than one window ahead of the other.

    def on_sent(self, life: Life, effect: fx.Send) -> None:
        """A frame of a job leaves."""
        if life.speaks_exchange(effect.stream):
            self._note(life, effect.stream, effect.payload, is_ours=True)

    def on_received(self, life: Life, happened: inp.FrameReceived) -> None:
        """A frame of a job arrives."""
        if life.speaks_exchange(happened.stream):
            self._note(life, happened.stream, happened.payload, is_ours=False)

    def on_ended(self, life: Life, effect: fx.CloseStream | fx.ResetStream) -> None:
        """A stream is over."""
        self._tabs.pop((life, effect.stream), None)

    def forget(self, life: Life) -> None:
        """A process is over."""
        self._tabs = {key: tab for key, tab in self._tabs.items() if key[0] is not life}

    def _note(self, life: Life, stream: int, payload: bytes, *, is_ours: bool) -> None:
        try:
            tag, _, *rest = msgspec.msgpack.decode(payload)
        except (msgspec.DecodeError, ValueError, TypeError):
            return  # a liar's frame: the core judges it
        tab = self._tabs.setdefault((life, stream), _Tab())
        if tag == _ORDER:
            tab.prompt_price, tab.completion_price = _wei(rest[1]), _wei(rest[2])
            tab.base = _wei(rest[6])
            tab.paid = _amount_of(rest[5]) - tab.base
        elif tag == _QUOTED:
            quote = msgspec.msgpack.decode(rest[0][1])
            tab.prompt_price, tab.completion_price = _wei(quote[5]), _wei(quote[6])
        elif tag == _ACCEPT:
            tab.base = _wei(rest[3])
            tab.paid = _amount_of(rest[2]) - tab.base
        elif tag == _PAY:
            tab.paid = max(tab.paid, _amount_of(rest[0]) - tab.base)
        elif tag == _STARTED:
            tab.prompt_tokens, tab.window = rest[0], _wei(rest[1])
        elif tag == _CHUNK:
            tab.tokens = rest[2]
        if is_ours and tab.completion_price and self._machines[life.peer].is_honest:
            self._check_tab(life, tag, tab)

    def _check_tab(self, life: Life, tag: int, tab: _Tab) -> None:
        if tag == _CHUNK and tab.cost - tab.paid > tab.window:
            ahead = tab.cost - tab.paid
            raise self._fail(life, f"it works {ahead} wei ahead, its window is {tab.window}")
        if tag == _PAY and tab.paid - tab.cost > tab.window:
            ahead = tab.paid - tab.cost
            raise self._fail(life, f"it pays {ahead} wei ahead, the window is {tab.window}")

    def check_directory(self, life: Life) -> None:
        """A directory holds nothing that has expired. Costs a look at each entry."""
        limit = life.now_ms - EXPIRY_SLACK_MS
        for entry in life.core.directory.entries():
            if entry.expires_at <= limit:
                raise self._fail(life, f"its directory holds what expired at {entry.expires_at}")


def _wei(value: bytes) -> int:
    return int.from_bytes(value, "big")


def _amount_of(signed: list[Any]) -> int:
    """The amount of an encoded SignedVoucher."""
    return _wei(signed[0][2])
