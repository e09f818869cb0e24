"""Whom to ask for a part of its line, and for how long a job waits for it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.core.members.hearsay import Fellow, Hearsay
from p2p_modelex.core.members.parameters import NEED_MS, NEEDS_MAX
from p2p_modelex.core.members.ports import Books
from p2p_modelex.ids import ChannelId, PeerId
from p2p_modelex.records.channel import ChannelTerms
from p2p_modelex.records.members import Borrow
from p2p_modelex.units import SPLITS_MAX, Epoch, UnixMs


@dataclass(slots=True)
class _Need:
    """A channel on which our line is too short. asked: whom we asked, one after the other."""

    terms: ChannelTerms
    until: UnixMs
    asked: dict[PeerId, None] = field(default_factory=dict)


class Borrowing:
    """The needs at hand. Who has most to spare is asked first, and then the next if that is not
    enough: with all alive the whole deposit can be had at one member (MEM-6).
    """

    def __init__(self, books: Books, hearsay: Hearsay) -> None:
        self._books = books
        self._hearsay = hearsay
        self._needs: dict[ChannelId, _Need] = {}

    def is_waiting(self, channel: ChannelId) -> bool:
        """Whether others may yet lend what is needed there."""
        return channel in self._needs

    def begin(self, terms: ChannelTerms, now: UnixMs) -> bool:
        """More than our line is needed on a channel. Returns whether that is new, and not too much
        at once.
        """
        channel = self._books.get_id(terms)
        if channel in self._needs or len(self._needs) >= NEEDS_MAX:
            return False
        self._needs[channel] = _Need(terms, UnixMs(now + NEED_MS))
        return True

    def end(self, channel: ChannelId) -> None:
        """The need is over: its time is up, or it is met."""
        self._needs.pop(channel, None)

    def choose(
        self, channel: ChannelId, lack: Amount, fellows: Sequence[Fellow], now: UnixMs
    ) -> tuple[Fellow, Borrow] | None:
        """Return whom to ask next and for what; None, and the need is over, if nothing lacks or
        nobody is left.
        """
        need = self._needs[channel]
        able = [
            (spare, fellow)
            for fellow in fellows
            if fellow.payee == need.terms.payee
            and fellow.peer not in need.asked
            and (spare := self._compute_spare(fellow, channel, now))
        ]
        if not lack.wei or not able:
            self.end(channel)
            return None
        _, fellow = min(able, key=lambda one: (-one[0], one[1].peer))
        need.asked[fellow.peer] = None
        have = self._books.get_taken(channel, fellow.peer)
        latest = max(have.epoch, lack.epoch)
        wei_had, wei_wanted = have.rescale(latest).wei, lack.rescale(latest).wei
        return fellow, Borrow(fellow.farm, need.terms.of_payer, wei_had, wei_wanted, latest)

    def _compute_spare(self, fellow: Fellow, channel: ChannelId, now: UnixMs) -> int:
        """What a fellow can do without, as it told, or else at most: its part by weight. In the
        last split epoch there can be, to be compared.
        """
        told = self._hearsay.get_spare(fellow, channel, now)
        part = told or self._books.get_part(channel, fellow.weight)
        return part.rescale(Epoch(SPLITS_MAX)).wei
