"""That neither side of a job is ever more than one window ahead of the other.

Read off the wire: what was delivered against which vouchers. The one thing taken from a payee's own
books is where a job begins on its lane: credit that earlier jobs left counts (protocols/ledger).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as inp
from p2p_modelex.core.effects import StreamId
from p2p_modelex.ids import JobId, PeerId
from p2p_modelex.simulation.checks.bills import Losses
from p2p_modelex.simulation.checks.checkers import breach
from p2p_modelex.simulation.models.splits import level
from p2p_modelex.simulation.nodes.life import Life
from p2p_modelex.units import SPLITS_MAX, rescale

_ORDER, _ACCEPT, _PAY, _QUOTED, _STARTED, _CHUNK, _FINISHED = 2, 3, 4, 16, 17, 18, 19
"""Tags of records/job.py, read without the code that is under test."""


@dataclass(slots=True)
class _Tab:
    """One job on one end of a stream. Amounts in wei of `epoch`, in which it was ordered; `base` is
    of the lane, for earlier jobs.
    """

    peer: PeerId
    is_seller: bool
    epoch: int = 0
    lane: tuple[bytes, int] = (b"", 0)
    base: int = 0
    amount: int = 0
    prompt_price: int = 0
    completion_price: int = 0
    prompt_tokens: int = 0
    tokens: int = 0
    window: int = 0
    is_answered: bool = False

    @property
    def cost(self) -> int:
        return self.prompt_tokens * self.prompt_price + self.tokens * self.completion_price

    @property
    def paid(self) -> int:
        return self.amount - self.base


class Exposure:
    """Keeps a tab of every job at both of its ends."""

    def __init__(self, is_honest: Callable[[Life], bool]) -> None:
        self._is_honest = is_honest
        self.losses = Losses()
        self._tabs: dict[tuple[Life, int], _Tab] = {}

    def on_sent(self, life: Life, effect: fx.Send) -> None:
        """A frame of a job leaves."""
        if life.speaks_exchange(effect.stream):
            self._note(life, effect.stream, effect.payload, is_ours=True)

    def on_received(self, life: Life, happened: inp.FrameReceived) -> None:
        """A frame of a job arrives."""
        if life.speaks_exchange(happened.stream):
            self._note(life, happened.stream, happened.payload, is_ours=False)

    def on_ended(
        self, life: Life, ended: fx.CloseStream | fx.ResetStream | inp.StreamEnded
    ) -> None:
        """A stream is over."""
        tab = self._tabs.pop((life, ended.stream), None)
        if tab is not None and tab.window and self._is_honest(life):
            served = tab.cost if tab.is_seller or tab.is_answered else 0
            vouchers = self.losses.add(
                life.number,
                tab.peer,
                is_seller=tab.is_seller,
                served=level(served, tab.epoch),
                window=level(tab.window, tab.epoch),
            )
            vouchers[tab.lane] = max(level(tab.amount, tab.epoch), vouchers.get(tab.lane, 0))

    def on_lost(self, life: Life, ended: inp.StreamEnded) -> None:
        """A stream broke, or was reset; nothing is said on it any more."""
        if not ended.clean:
            self.on_ended(life, ended)

    def forget(self, life: Life) -> None:
        """A process is over."""
        self._tabs = {key: tab for key, tab in self._tabs.items() if key[0] is not life}

    def compute_ahead(self) -> tuple[int, int]:
        """Return how far honest providers are ahead of what they were paid now, and how far honest
        requesters of what they got, in wei of before all splits; a prompt is worth nothing to them
        before any text.
        """
        sold = bought = 0
        for (life, _), tab in self._tabs.items():
            if not self._is_honest(life):
                continue
            if tab.is_seller:
                sold += level(max(0, tab.cost - tab.paid), tab.epoch)
            else:
                bought += level(max(0, tab.paid - (tab.cost if tab.tokens else 0)), tab.epoch)
        return sold >> SPLITS_MAX, bought >> SPLITS_MAX

    def _note(self, life: Life, stream: StreamId, payload: bytes, *, is_ours: bool) -> None:
        try:
            tag, job, *rest = msgspec.msgpack.decode(payload)
        except (msgspec.DecodeError, ValueError, TypeError):
            return  # a liar's frame: the core judges it
        tab = self._tabs.get((life, stream))
        if tab is None:
            is_seller = is_ours == (tag > _PAY)
            tab = self._tabs[life, stream] = _Tab(life.peer_of(stream), is_seller)
        is_honest = is_ours and self._is_honest(life)
        try:
            self._read(life, tab, tag, job, rest, is_ours=is_ours)
        except (msgspec.DecodeError, ValueError, TypeError, LookupError):
            if is_honest:
                raise
        if is_honest:
            self._check(life, tag, tab)

    def _read(
        self, life: Life, tab: _Tab, tag: Any, job: bytes, rest: list[Any], *, is_ours: bool
    ) -> None:
        if tag == _ORDER:
            tab.prompt_price, tab.completion_price = _wei(rest[1]), _wei(rest[2])
            self._begin(tab, rest[5], _wei(rest[6]))
        elif tag == _QUOTED:
            quote = msgspec.msgpack.decode(rest[0][1])
            tab.prompt_price, tab.completion_price = _wei(quote[5]), _wei(quote[6])
        elif tag == _ACCEPT:
            self._begin(tab, rest[2], _wei(rest[3]))
        elif tag == _PAY:
            tab.amount = max(tab.amount, _amount_of(rest[0], tab.epoch))
        elif tag == _STARTED:
            tab.prompt_tokens, tab.window = rest[0], _wei(rest[1])
            if is_ours:
                tab.base = tab.amount - life.core.payee.get_paid(JobId(job))
        elif tag == _CHUNK:
            tab.tokens = rest[2]
        elif tag == _FINISHED:
            tab.is_answered = True

    def _begin(self, tab: _Tab, signed: list[Any], base: int) -> None:
        """A job is ordered with this voucher."""
        tab.epoch = signed[0][3]
        tab.amount, tab.base = _amount_of(signed, tab.epoch), base
        tab.lane = _lane_of(signed)

    def _check(self, life: Life, tag: int, tab: _Tab) -> None:
        if tag == _CHUNK and tab.cost - tab.paid > tab.window:
            ahead = tab.cost - tab.paid
            raise breach(life, f"it works {ahead} wei ahead, its window is {tab.window}")
        if tag == _PAY and tab.paid - tab.cost > tab.window:
            ahead = tab.paid - tab.cost
            raise breach(life, f"it pays {ahead} wei ahead, the window is {tab.window}")


def _wei(value: bytes) -> int:
    return int.from_bytes(value, "big")


def _amount_of(signed: list[Any], epoch: int) -> int:
    """The amount of an encoded SignedVoucher, in a split epoch."""
    return rescale(_wei(signed[0][2]), signed[0][3], epoch)


def _lane_of(signed: list[Any]) -> tuple[bytes, int]:
    """The channel and lane of an encoded SignedVoucher."""
    return signed[0][0], signed[0][1]
