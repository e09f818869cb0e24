"""What the chain says to those who read it: channels, the token's split, the registry, ratings."""

from p2p_modelex.chain.abc import REGISTRY_PAGE_MAX
from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as inp
from p2p_modelex.ids import ChannelId
from p2p_modelex.records.channel import ChannelState
from p2p_modelex.simulation.kernel import Kernel
from p2p_modelex.simulation.models.blocks import Blocks
from p2p_modelex.simulation.models.transactions import Caller
from p2p_modelex.simulation.scenario.settings import Chain

READS = (fx.FetchChannel, fx.FetchSplit, fx.ReadRegistry, fx.ReadRatings)


class Reads:
    """Answers reads, and tells of the registry whoever follows it."""

    def __init__(self, settings: Chain, kernel: Kernel, blocks: Blocks) -> None:
        self._settings = settings
        self._kernel = kernel
        self._blocks = blocks
        self._ledger = blocks.ledger
        self._followers: list[Caller] = []
        self._told = 0

    def answer(self, caller: Caller, effect: fx.Effect) -> inp.Input:
        """Return the answer to one of READS."""
        match effect:
            case fx.FetchChannel(channel):
                return inp.ChannelFetched(channel, self.fetch_channel(channel))
            case fx.FetchSplit():
                return inp.SplitFetched(self._ledger.split())
            case fx.ReadRatings(nodes, evaluators):
                get = self._ledger.registry.get_rating
                rated = ((peer, get(peer, operator, evaluators)) for peer, operator in nodes)
                return inp.RatingsRead(tuple(rated))
            case _:
                return self._read_registry(caller)

    def fetch_channel(self, channel: ChannelId) -> ChannelState | None:
        """Return a channel as those see it who wait for confirmations."""
        confirmations = self._settings.confirmations
        if not confirmations:
            return self._ledger.channel(channel)
        height = self._kernel.now // self._settings.block - confirmations
        return self._blocks.branch.fetch_channel(channel, max(0, height))

    def _read_registry(self, caller: Caller) -> inp.Input:
        """Answer with the first page, send the others after it, and then what happens."""
        registry, block = self._ledger.registry, self._ledger.block
        page = registry.page(0, REGISTRY_PAGE_MAX, block)
        answer = inp.RegistryRead(page.entries, True, page.total <= REGISTRY_PAGE_MAX)
        when = self._kernel.now + self._settings.read
        for offset in range(REGISTRY_PAGE_MAX, page.total, REGISTRY_PAGE_MAX):
            more = registry.page(offset, REGISTRY_PAGE_MAX, block)
            is_last = offset + REGISTRY_PAGE_MAX >= page.total
            when += self._settings.read
            self._kernel.at(when, caller, inp.RegistryRead(more.entries, False, is_last))
        self._followers = [one for one in self._followers if one is not caller and not one.is_over]
        self._followers.append(caller)
        return answer

    def tell_followers(self) -> None:
        """A block is made: tell what it did to the registry."""
        news = self._ledger.registry.history.since(self._told)
        self._told += len(news)
        for event in news:
            for follower in self._followers:
                when = self._kernel.now + self._settings.read
                self._kernel.at(when, follower, inp.RegistryChanged(event))
