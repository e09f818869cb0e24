"""Sharing: what a provider does with the other members of its farms, and which jobs wait for it.

Joins what members say (core/members) with the books of the lines they lend each other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from p2p_modelex.core.admission import Admission
from p2p_modelex.core.effects import Effect, StreamId
from p2p_modelex.core.exchange.sale import Stake
from p2p_modelex.core.inputs import ChannelFetched, Input
from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.core.ledger.lending import Lending
from p2p_modelex.core.members.hearsay import Fellow
from p2p_modelex.core.members.machine import MembersMachine
from p2p_modelex.core.pace import WAIT_MIN_MS
from p2p_modelex.core.redeeming import Redeeming
from p2p_modelex.ids import Address, ChannelId
from p2p_modelex.units import UnixMs


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """What sharing needs beside the provider itself. find_fellows: the other members of our farms
    now, by their certificates.
    """

    lending: Lending
    next_stream: Callable[[], StreamId]
    find_fellows: Callable[[UnixMs], Sequence[Fellow]]


class Sharing:
    """A provider's dealings with its fellows. Timers begin with `members/`."""

    def __init__(
        self,
        around: Neighbourhood,
        admission: Admission,
        redeeming: Redeeming,
        get_waiting: Callable[[ChannelId], Sequence[Stake]],
    ) -> None:
        """get_waiting: the jobs that wait for what is said of a channel."""
        self._lending = around.lending
        self._get_waiting = get_waiting
        self._members = MembersMachine(
            around.next_stream,
            around.find_fellows,
            around.lending,
            admission,
            redeeming.fetch,
            self._compute_lack,
        )
        # What the chain said of channels on which jobs wait for others to lend.
        self._held: dict[ChannelId, ChannelFetched] = {}

    def owns(self, stream: StreamId) -> bool:
        """Whether inputs about this stream belong here."""
        return self._members.owns(stream)

    def start(self, now: UnixMs) -> list[Effect]:
        """Set the first timer."""
        return self._members.start(now)

    def step(self, happened: Input, now: UnixMs) -> list[Effect]:
        """Take one input; `release` says which jobs may go on then."""
        return self._members.step(happened, now)

    def note_used(self, channel: ChannelId) -> None:
        """A job begins on a channel."""
        self._lending.note_used(channel)

    def hold(self, fetched: ChannelFetched, now: UnixMs) -> tuple[bool, list[Effect]]:
        """Ask others to lend if jobs lack something on a channel that was read. Returns whether the
        jobs are to wait for that.
        """
        waiting = self._get_waiting(fetched.channel)
        if not waiting or not self._compute_lack(fetched.channel).wei:
            return False, []
        effects = self._members.borrow(waiting[0].terms, now)
        if not self._members.is_waiting(fetched.channel):
            return False, effects
        self._held[fetched.channel] = fetched
        return True, effects

    def release(self) -> list[ChannelFetched]:
        """What the chain said of channels on which nothing more will be lent now."""
        over = [channel for channel in self._held if not self._members.is_waiting(channel)]
        return [self._held.pop(channel) for channel in over]

    def compute_retry_ms(self, payee: Address | None, own_ms: int, now: UnixMs) -> int:
        """Return when who pays `payee` should come again: to us, or to whom has room first
        (MEM-11).
        """
        theirs = self._members.get_least_wait_ms(payee, now) if payee is not None else None
        return own_ms if theirs is None else max(min(own_ms, theirs), WAIT_MIN_MS)

    def _compute_lack(self, channel: ChannelId) -> Amount:
        return self._lending.compute_lack(channel, self._get_waiting(channel))
