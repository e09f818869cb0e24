"""When vouchers are worth a transaction."""

from collections.abc import Iterable
from dataclasses import dataclass

from p2p_modelex.core.ledger.accounts import ChannelAccount, LaneAccount
from p2p_modelex.ids import ChannelId
from p2p_modelex.records.channel import Claim
from p2p_modelex.units import AI, Epoch, Millis, UnixMs, Wei, rescale

_TEN_AI = Wei(10 * AI)
_ONE_DAY_MS = Millis(24 * 3600 * 1000)
_ONE_WEI = Wei(1)


@dataclass(frozen=True, slots=True)
class SettlementPolicy:
    """threshold: redeem a channel once this much wei is not yet redeemed on it; higher costs less
    gas and risks more on one payer. max_age_ms: or once the oldest of it has waited this long.
    minimum: wei on a channel under which it is never worth the gas, even when it closes.
    answers_closing: redeem at once when the payer begins to close. epoch: the split epoch of the
    amounts.
    """

    threshold: Wei = _TEN_AI
    max_age_ms: Millis = _ONE_DAY_MS
    minimum: Wei = _ONE_WEI
    answers_closing: bool = True
    epoch: Epoch = Epoch(0)  # noqa: RUF009  # a NewType of int


class Settlement:
    """Applies a policy and remembers since when each channel has had something to redeem."""

    def __init__(self, policy: SettlementPolicy) -> None:
        self._policy = policy
        self._epoch = policy.epoch
        self._since: dict[ChannelId, UnixMs] = {}

    def choose(
        self, channels: Iterable[ChannelAccount], now: UnixMs, *, is_forced: bool
    ) -> tuple[Claim, ...]:
        """Return the vouchers to redeem now, in order of channel and lane (LED-9)."""
        chosen: list[Claim] = []
        for account in channels:
            lanes = [lane for _, lane in sorted(account.lanes.items()) if _compute_gain(lane)]
            gain = sum(rescale(_compute_gain(lane), lane.epoch, self._epoch) for lane in lanes)
            if gain and (is_forced or self._is_worth(account, gain, now)):
                terms = account.state.terms
                chosen.extend(Claim(terms, x.signed) for x in lanes if x.signed is not None)
        return tuple(chosen)

    def _is_worth(self, account: ChannelAccount, gain: int, now: UnixMs) -> bool:
        since = self._since.setdefault(ChannelId(account.state.channel), now)
        policy = self._policy
        if gain < rescale(policy.minimum, policy.epoch, self._epoch):
            return False
        return (
            gain >= rescale(policy.threshold, policy.epoch, self._epoch)
            or (policy.answers_closing and not account.state.is_open)
            or now - since >= policy.max_age_ms
        )

    def note_epoch(self, epoch: Epoch) -> None:
        """Amounts are those of this epoch now."""
        self._epoch = epoch

    def note_redeemed(self, channel: ChannelId) -> None:
        """Something was redeemed: what is left is young."""
        self._since.pop(channel, None)


def _compute_gain(lane: LaneAccount) -> int:
    return max(0, lane.amount - lane.redeemed)
