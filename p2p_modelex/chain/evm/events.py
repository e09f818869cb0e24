"""Channel events of one account, out of the PaymentChannels contract's log."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from p2p_modelex.chain.abc import ChannelEvent, Deployment
from p2p_modelex.chain.evm.abi import Abi, Event
from p2p_modelex.chain.evm.reader import BlockReader
from p2p_modelex.chain.evm.rpc import Rpc, RpcError
from p2p_modelex.chain.evm.wire import read_logs, to_hex
from p2p_modelex.errors import ChainUnreachable
from p2p_modelex.ids import Address, ChannelId, format_address
from p2p_modelex.records.channel import ChannelTerms

# Channels remembered as ours or not, so that each is asked about once.
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
        find_terms: Callable[[ChannelId], Awaitable[ChannelTerms | None]],
        on_reorg: Callable[[], Awaitable[None]],
    ) -> None:
        """find_terms: asked of channels that were opened before `since_block`. on_reorg: awaited
        when blocks were undone, before their events are told.
        """
        self._abi = abi
        self._account = account
        self._find_terms = find_terms
        self._on_reorg = on_reorg
        self._is_ours: OrderedDict[ChannelId, bool] = OrderedDict()
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
                if event is not None and await self._concerns_us(event):
                    channel = ChannelId(event.arguments["channel"])
                    kind = _KINDS[event.name]
                    events.append(ChannelEvent(kind, channel, block.number, block.undone))
        return Polled(tuple(events), up_to_date=not blocks)

    async def _concerns_us(self, event: Event) -> bool:
        channel = ChannelId(event.arguments["channel"])
        known = self._is_ours.get(channel)
        if known is None:
            known = await self._learn(channel, event)
            self._is_ours[channel] = known
            if len(self._is_ours) > CHANNELS_MAX:
                self._is_ours.popitem(last=False)
        return known

    async def _learn(self, channel: ChannelId, event: Event) -> bool:
        if event.name == "Opened":
            ours = format_address(self._account)
            return ours in (event.arguments["payer"], event.arguments["payee"])
        terms = await self._find_terms(channel)
        return terms is not None and self._account in (terms.payer, terms.payee)


async def find_terms(
    rpc: Rpc, deployment: Deployment, abi: Abi, channel: ChannelId
) -> ChannelTerms | None:
    """Return a channel's terms out of its Opened event, None if there is none.

    ChainUnreachable where the endpoint does not search its whole log, or lies.
    """
    wanted = {
        "address": format_address(deployment.channels),
        "topics": [to_hex(abi.topic("Opened")), to_hex(channel)],
        "fromBlock": "earliest",
        "toBlock": "latest",
    }
    try:
        logs = read_logs(await rpc.call("eth_getLogs", wanted))
    except RpcError as error:
        raise ChainUnreachable(
            f"the endpoint does not search its whole log: {error.text}",
            hint="use one that does, such as a node of your own",
        ) from error
    for log in logs:
        event = abi.decode_event(log)
        if event is not None and event.name == "Opened":
            terms = _read_terms(event)
            if deployment.channel_id(terms) == channel:
                return terms
            raise ChainUnreachable("the endpoint sent the terms of another channel")
    return None


def _read_terms(event: Event) -> ChannelTerms:
    accounts = (event.arguments[name] for name in ("payer", "payee", "signer"))
    payer, payee, signer = (bytes.fromhex(account[2:]) for account in accounts)
    return ChannelTerms(payer, payee, signer, event.arguments["salt"])
