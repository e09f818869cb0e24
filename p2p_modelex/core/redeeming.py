"""Redeeming: when a provider goes to the chain, with its vouchers and to look at its channels."""

from itertools import islice

from p2p_modelex import limits
from p2p_modelex.core.effects import (
    Effect,
    FetchChannel,
    PayOut,
    Persist,
    Redeem,
    SetTimer,
    TimerId,
)
from p2p_modelex.core.inputs import ChannelFetched, Input, Redeemed, RedeemFailed, TimerFired
from p2p_modelex.core.ledger.payee import PayeeLedger
from p2p_modelex.ids import Address, ChannelId
from p2p_modelex.records.channel import ChannelTerms
from p2p_modelex.records.rows import Row
from p2p_modelex.units import Millis, UnixMs

SETTLE_TIMER = TimerId("selling/settle")
SETTLE_INTERVAL_MS = Millis(10_000)
"""How often to ask the ledger whether vouchers are worth a transaction."""

SETTLE_PAUSE_MAX_MS = Millis(10 * 60_000)
"""After a failure the interval doubles up to this; far below any challenge period."""

WATCH_TIMER = TimerId("selling/watch")
WATCH_INTERVAL_MS = Millis(60_000)
"""How often to look whether a payer closes a channel; far below any challenge period."""

WATCHED_AT_ONCE = 256
"""Channels looked at in one interval, in turn: all 10,000 a ledger holds in 40 minutes."""

PROVEN_MS = Millis(15 * 60_000)
"""When to look whether a redeeming stood. A reorg can undo it, and who redeemed may have ended
before it could be sent again; by then it is as deep as on any chain that finalises.
"""

FETCHES_MAX = 512
"""Channels being read from the chain at once. Strangers can make us read any; those over this
many wait in vain, and are refused as busy by their own deadline.
"""


class Redeeming:
    """Takes the vouchers a ledger holds to the chain. Timers begin with `selling/`."""

    def __init__(self, ledger: PayeeLedger) -> None:
        self._ledger = ledger
        self._is_redeeming = False
        self._failures = 0
        self._fetching: dict[ChannelId, None] = {}
        self._watched: ChannelId | None = None
        self._redeemed_for: Address | None = None
        # Channels of which something was redeemed, and when to look whether that stood.
        self._unproven: dict[ChannelId, UnixMs] = {}

    def start(self, now: UnixMs) -> list[Effect]:
        """Set the first timers; the pause of a split may have ended while we were not there, and a
        reorg have undone what we redeemed last.
        """
        self._unproven = dict.fromkeys(self._ledger.get_redeemed(), now)
        return [
            *map(PayOut, self._ledger.payees),
            SetTimer(SETTLE_TIMER, UnixMs(now + SETTLE_INTERVAL_MS)),
            SetTimer(WATCH_TIMER, UnixMs(now + WATCH_INTERVAL_MS)),
        ]

    def step(self, happened: Input, now: UnixMs) -> list[Effect]:
        """Take one input."""
        match happened:
            case TimerFired(timer) if timer == SETTLE_TIMER:
                return [self._arm(now), *self._redeem(now)]
            case TimerFired(timer) if timer == WATCH_TIMER:
                return [SetTimer(WATCH_TIMER, UnixMs(now + WATCH_INTERVAL_MS)), *self._watch(now)]
            case ChannelFetched():
                return self._on_fetched(happened, now)
            case Redeemed():
                return self._on_redeemed(happened, now)
            case RedeemFailed():
                self._is_redeeming = False
                self._failures += 1
                return [self._arm(now)]
            case _:
                return []

    def retry(self, now: UnixMs) -> list[Effect]:
        """A split is over, whose pause may be why redeeming failed: try again at once. What was
        claimed in it is paid out now, whether or not there is more to redeem.
        """
        self._failures = 0
        return [*map(PayOut, self._ledger.payees), SetTimer(SETTLE_TIMER, now)]

    def fetch(self, channel: ChannelId, terms: ChannelTerms) -> list[Effect]:
        """Have a channel read, once for all who ask meanwhile. Answer: ChannelFetched."""
        if channel in self._fetching or len(self._fetching) >= FETCHES_MAX:
            return []
        self._fetching[channel] = None
        return [FetchChannel(channel, terms)]

    def _arm(self, now: UnixMs) -> SetTimer:
        pause = min(SETTLE_INTERVAL_MS << min(self._failures, 16), SETTLE_PAUSE_MAX_MS)
        return SetTimer(SETTLE_TIMER, UnixMs(now + pause))

    def _redeem(self, now: UnixMs) -> list[Effect]:
        """A transaction pays one payee; they take turns, so that one which fails holds up none."""
        claims = self._ledger.claims_to_redeem(now)
        if not claims or self._is_redeeming:
            return []
        payees = sorted({Address(claim.terms.payee) for claim in claims})
        last = self._redeemed_for
        payee = next((one for one in payees if last is None or one > last), payees[0])
        self._is_redeeming, self._redeemed_for = True, payee
        chosen = [claim for claim in claims if claim.terms.payee == payee]
        return [Redeem(tuple(chosen[: limits.REDEMPTION_VOUCHERS_MAX]))]

    def _watch(self, now: UnixMs) -> list[Effect]:
        """Look at the next channels that owe us something, in the order of their names, and at
        those of which it is time to see what was redeemed.
        """
        held = self._ledger.claims_to_redeem(now, is_forced=True)
        names = sorted({ChannelId(claim.signed.voucher.channel) for claim in held})
        after = [name for name in names if self._watched is None or name > self._watched]
        chosen = [*after, *names[: len(names) - len(after)]][:WATCHED_AT_ONCE]
        self._watched = chosen[-1] if chosen else None
        effects: list[Effect] = []
        for name in dict.fromkeys((*chosen, *self._find_due(now))):
            account = self._ledger.get_account(name)
            assert account is not None  # one that brought a voucher is never forgotten
            effects += self.fetch(name, account.state.terms)
        return effects

    def _find_due(self, now: UnixMs) -> list[ChannelId]:
        due = (name for name, at in self._unproven.items() if at <= now)
        return list(islice(due, WATCHED_AT_ONCE))

    def _on_fetched(self, fetched: ChannelFetched, now: UnixMs) -> list[Effect]:
        """A channel that is found closing is redeemed at once, if the policy says so."""
        self._fetching.pop(fetched.channel, None)
        state = fetched.state
        rows = self._ledger.note_channel(state) if state is not None else ()
        if state is None or not rows:
            if fetched.channel in self._unproven:  # the others come first now
                self._unproven[fetched.channel] = self._unproven.pop(fetched.channel)
            return []
        if self._unproven.get(fetched.channel, UnixMs(now + 1)) <= now:
            del self._unproven[fetched.channel]
            rows += self._ledger.take_back(state)
        closing = [] if state.is_open or self._failures else self._redeem(now)
        return [Persist(rows), *closing]

    def _on_redeemed(self, redeemed: Redeemed, now: UnixMs) -> list[Effect]:
        """Note that the vouchers are spent. The ledger takes none over the deposit, so what a
        voucher did not bring was claimed before, or its channel is closed; neither comes back. What
        a reorg undoes is found later.
        """
        self._is_redeeming = False
        self._failures = 0
        rows: list[Row] = []
        for claim in redeemed.claims:
            promise = claim.signed.voucher
            rows += self._ledger.note_redeemed(promise)
            self._unproven[ChannelId(promise.channel)] = UnixMs(now + PROVEN_MS)
        more = self._redeem(now)  # a batch is bounded: the rest at once
        return [*([Persist(tuple(rows))] if rows else []), *more]
