"""Channel events of one account, out of the PaymentChannels contract's log."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from p2p_modelex.chain.abc import ChannelEvent
from p2p_modelex.chain.evm.abi import Abi, Event
from p2p_modelex.chain.evm.reader import BlockReader
from p2p_modelex.chain.evm.rpc import Rpc
from p2p_modelex.ids import Address, ChannelId, format_address

# Channels remembered as ours, as many as a ledger keeps; the one opened longest ago makes room.
CHANNELS_MAX = 10_000

_KINDS: dict[str, Literal["opened", "topped_up", "claimed", "close_started", "closed"]] = {
    "Opened": "opened",
    "ToppedUp": "topped_up",
    "Claimed": "claimed",
    "CloseStarted": "close_started",
    "Closed": "closed",
}


@dataclass(frozen=True, slots=True)
class Polled:
    """What one look found; `up_to_date` when there was nothing new to look at."""

    events: tuple[ChannelEvent, ...]
    up_to_date: bool


class ChannelWatch:
    """Turns blocks into the events of channels that pay to or from `account`."""

    def __init__(
        self,
        rpc: Rpc,
        contract: Address,
        abi: Abi,
        account: Address,
        *,
        since_block: int,
        confirmations: int,
        known: Iterable[ChannelId],
        on_reorg: Callable[[], Awaitable[None]],
    ) -> None:
        """known: channels of ours that were opened before `since_block`. on_reorg: awaited when
        blocks were undone, before their events are told.
        """
        self._abi = abi
        self._ours = format_address(account)
        self._on_reorg = on_reorg
        self._known = OrderedDict.fromkeys(known)
        self._reader = BlockReader(
            rpc,
            contract,
            [abi.topic(name) for name in _KINDS],
            since_block=since_block,
            confirmations=confirmations,
        )

    async def poll(self) -> Polled:
        """Look once. Raises ChainUnreachable; nothing is lost by looking again."""
        blocks = await self._reader.poll()
        if any(block.undone for block in blocks):
            await self._on_reorg()
        events = []
        for block in blocks:
            for log in block.logs:
                event = self._abi.decode_event(log)
                if event is not None and self._concerns_us(event):
                    channel = ChannelId(event.arguments["channel"])
                    kind = _KINDS[event.name]
                    events.append(ChannelEvent(kind, channel, block.number, block.undone))
        return Polled(tuple(events), up_to_date=not blocks)

    def _concerns_us(self, event: Event) -> bool:
        channel = ChannelId(event.arguments["channel"])
        if event.name == "Opened" and self._ours in (
            event.arguments["payer"],
            event.arguments["payee"],
        ):
            self._known[channel] = None
            if len(self._known) > CHANNELS_MAX:
                self._known.popitem(last=False)
        return channel in self._known
