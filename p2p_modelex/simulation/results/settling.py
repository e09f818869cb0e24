"""What becomes of the vouchers that honest providers hold: redeemed when, owed still, or lost."""

from p2p_modelex.core import effects as fx
from p2p_modelex.ids import ChannelId
from p2p_modelex.records.rows import ReceivedVoucherRow, Row
from p2p_modelex.simulation.models.chain import ChainModel
from p2p_modelex.simulation.models.splits import LEVEL_AI, level
from p2p_modelex.simulation.models.transactions import Transaction
from p2p_modelex.simulation.nodes.life import Life
from p2p_modelex.simulation.nodes.world import World
from p2p_modelex.simulation.results.spread import Spread

Lane = tuple[ChannelId, int]


class Settling:
    """Follows each lane from its first voucher on. Amounts are as `level` has them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._promised: dict[Lane, int] = {}
        self._sellers: dict[Lane, str] = {}
        self._claimed: dict[Lane, int] = {}
        self._since: dict[Lane, int] = {}
        self.waits = Spread()
        """How long a lane's oldest voucher waited until its redeeming was mined, microseconds."""
        self.exposed = 0
        """The most that was promised at once over deposits, of which a reorg took some away."""

    def on_rows(self, life: Life, rows: tuple[Row, ...]) -> None:
        """An honest provider keeps a voucher."""
        machine = self._world.machines[life.number]
        if machine.is_honest:
            for row in rows:
                if isinstance(row, ReceivedVoucherRow):
                    promise = row.signed.voucher
                    lane = ChannelId(promise.channel), promise.lane
                    amount = self._promised[lane] = level(promise.amount, promise.epoch)
                    self._sellers[lane] = machine.population.name
                    if amount > self._claimed.get(lane, 0):
                        self._since.setdefault(lane, life.kernel.now)

    def on_mined(self, one: Transaction) -> None:
        """A transaction is in a block."""
        if isinstance(one.effect, fx.Redeem):
            now = self._world.kernel.now
            for claim in one.effect.claims:
                promise = claim.signed.voucher
                lane = ChannelId(promise.channel), promise.lane
                amount = self._claimed[lane] = level(promise.amount, promise.epoch)
                since = self._since.pop(lane, None)
                if since is not None:
                    self.waits.add(now - since)
                    if amount < self._promised[lane]:
                        self._since[lane] = now

    def sample(self, chain: ChainModel) -> None:
        """Look what is promised on channels over what they hold. Costs a look at each lane."""
        promised: dict[ChannelId, int] = {}
        for (channel, _), amount in self._promised.items():
            promised[channel] = promised.get(channel, 0) + amount
        exposed = 0
        for channel, amount in promised.items():
            state = chain.ledger.channel(channel)
            held = level(state.deposit, state.epoch) if state is not None else 0
            exposed += max(0, amount - held)
        self.exposed = max(self.exposed, exposed)

    def summarise(self, chain: ChainModel) -> dict[str, float]:
        """Return measures by name, money in AI of before all splits: earned is what was redeemed,
        is owed, or is lost with a channel that is closed or not there.
        """
        totals = {"earned_ai": 0, "redeemed_ai": 0, "owed_ai": 0, "lost_ai": 0}
        for (channel, lane), amount in self._promised.items():
            on_chain = chain.ledger.claimed(channel, lane)
            claimed = min(amount, level(on_chain, chain.blocks.splits.epoch))
            is_there = chain.ledger.channel(channel) and not chain.ledger.is_closed(channel)
            seller = "earned_ai_" + self._sellers[channel, lane]
            totals["earned_ai"] += amount
            totals[seller] = totals.get(seller, 0) + amount
            totals["redeemed_ai"] += claimed
            totals["owed_ai" if is_there else "lost_ai"] += amount - claimed
        if self.exposed:
            totals["reorg_exposed_ai"] = self.exposed
        return {name: amount / LEVEL_AI for name, amount in totals.items()}
