"""A farm in one process: members that sell, the streams between them, a chain, and disks."""

from collections import deque
from collections.abc import Sequence
from itertools import count

import msgspec

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as given
from p2p_modelex.core.effects import StreamId, TimerId
from p2p_modelex.core.exchange.parameters import PROTOCOL
from p2p_modelex.core.ledger.lending import Lending
from p2p_modelex.core.ledger.lines import Lines
from p2p_modelex.core.ledger.payee import PayeeLedger
from p2p_modelex.core.ledger.seat import Seat
from p2p_modelex.core.members.hearsay import Fellow
from p2p_modelex.core.members.machine import TELL_TIMER
from p2p_modelex.core.members.parameters import MEMBERS_PROTOCOL, TELL_INTERVAL_MS
from p2p_modelex.core.selling import Selling
from p2p_modelex.core.sharing import Neighbourhood
from p2p_modelex.core.split_watch import SplitWatch
from p2p_modelex.ids import Address, ChannelId, PublicKey
from p2p_modelex.records import codec
from p2p_modelex.records.channel import PAYER_SIGNS, ChannelState, ChannelTerms
from p2p_modelex.records.job import Order, ProviderMessage, Refused
from p2p_modelex.records.receipt import Finish
from p2p_modelex.records.rows import ReceivedVoucherRow, Row
from p2p_modelex.store.tables import table_of
from p2p_modelex.units import UnixMs, Wei
from tests.core.exchange.cases import build_voucher
from tests.core.exchange.pair import (
    CHANNELS,
    NOW,
    OFFER,
    OPERATOR,
    PAYER,
    REQUEST,
    REQUESTER_KEY,
    Account,
    PeerKey,
    build_job,
    build_seller,
    build_state,
)

FARM = PublicKey(b"F" * 32)
PAYEE = Address(b"\xfa" * 20)
CEILING, WINDOW = 5 * 2 + 64 * 10, 8 * 10
LANES = 64


def build_terms(payer: Account = PAYER) -> ChannelTerms:
    """Of a payer's channel to the farm."""
    return ChannelTerms(payer.address, PAYEE, PAYER_SIGNS, b"F" * 32)


TERMS = build_terms()
CHANNEL = ChannelId(build_state(TERMS).channel)


class Member:
    """A member that sells; its index is one more than its place in the farm."""

    def __init__(self, farm: "Farm", place: int, weight: int) -> None:
        self.farm = farm
        self.place = place
        self.weight = weight
        self.key = PeerKey(f"member {place}")
        self.disk: dict[tuple[type, object], Row] = {}
        self.penalties: list[fx.Penalize] = []
        self.start()

    @property
    def fellow(self) -> Fellow:
        return Fellow(FARM, PAYEE, self.key.peer, (f"/{self.place}",), self.weight)

    def start(self) -> None:
        """Begin anew from what is on disk."""
        self.lines = Lines()
        self.ledger = PayeeLedger(OPERATOR.address, CHANNELS, get_line=self.lines.get_line)
        self.ledger.take_seats({PAYEE: Seat(self.place + 1, self.weight)})
        rows = list(self.disk.values())
        self.ledger.restore(rows)
        self.lines.restore(rows)
        self.around = Neighbourhood(
            Lending(self.ledger, self.lines, CHANNELS),
            lambda: StreamId(next(self.farm.numbers)),
            lambda now: self.farm.find_fellows(self),
        )
        slots = self.farm.slots
        self.selling = Selling(build_seller(), self.ledger, slots, {}, SplitWatch(), self.around)
        self.selling.restore(rows)
        self.timers: dict[TimerId, UnixMs] = {}
        self.generating: deque[fx.Generate] = deque()
        self.answers: dict[StreamId, list[ProviderMessage]] = {}
        self.do(self.selling.start(self.farm.now))

    def step(self, happened: given.Input) -> None:
        """What the node's core does with an input."""
        now = self.farm.now
        stream = getattr(happened, "stream", None)
        if isinstance(happened, given.StreamOpened):
            self.do(self.selling.step(happened, now))
        elif stream is not None:
            if self.selling.owns(stream):
                self.do(self.selling.step_stream(stream, happened, now))
        else:
            self.do(self.selling.step(happened, now))

    def do(self, effects: Sequence[fx.Effect]) -> None:
        """What the driver does with effects."""
        for effect in effects:
            match effect:
                case fx.Persist(rows):
                    for row in rows:
                        self.disk[type(row), table_of(type(row)).key_of(row)] = row
                case fx.SetTimer(timer, at):
                    self.timers[timer] = at
                case fx.CancelTimer(timer):
                    self.timers.pop(timer, None)
                case fx.CountTokens(job):
                    self.farm.post(self, given.TokensCounted(job, 5))
                case fx.Generate(job):
                    self.generating.append(effect)
                    self.farm.post(self, given.EngineStarted(job, 5))
                case fx.FetchChannel(channel):
                    self.farm.fetch(self, channel)
                case fx.Send(stream, payload) if stream in self.answers:
                    answer: ProviderMessage = codec.decode(ProviderMessage, payload, limit=10**6)
                    self.answers[stream].append(answer)
                case fx.Penalize():
                    self.penalties.append(effect)
                case _:
                    self.farm.carry(self, effect)

    def order(
        self,
        number: int,
        amount: int = 0,
        *,
        lane: int = 0,
        base: int = 0,
        payer: Account = PAYER,
        signer: Account | None = None,
        tokens: int = 64,
    ) -> StreamId:
        """A payer orders on one of this member's lanes; `answers` has what it was told."""
        stream = StreamId(next(self.farm.numbers))
        self.answers[stream] = []
        terms = build_terms(payer)
        lane += (self.place + 1) * LANES
        channel = build_state(terms).channel
        order = Order(
            build_job(number),
            msgspec.structs.replace(REQUEST, max_tokens=tokens),
            OFFER.prompt_price,
            OFFER.completion_price,
            Wei(2_000),
            terms.of_payer,
            build_voucher(amount, lane, channel=channel, signer=signer or payer),
            Wei(base),
        )
        self.step(given.StreamOpened(stream, REQUESTER_KEY.peer, PROTOCOL))
        self.step(given.FrameReceived(stream, codec.encode(order)))
        return stream

    def finish(self, took_ms: int = 0) -> None:
        """The engine is done with its oldest job, after so long."""
        self.farm.now = UnixMs(self.farm.now + took_ms)
        job = self.generating.popleft().job
        self.step(given.EngineFinished(job, Finish.STOP, 5, 0))

    def told(self, stream: StreamId) -> str:
        """What came last of an order: the name of a message, or why it was refused."""
        last = self.answers[stream][-1] if self.answers[stream] else None
        return last.code if isinstance(last, Refused) else type(last).__name__

    def tell(self) -> None:
        """The time to tell others has come."""
        self.step(given.TimerFired(TELL_TIMER))

    @property
    def line(self) -> int:
        """How far it takes vouchers of the first payer."""
        account = self.ledger.get_account(CHANNEL)
        assert account is not None
        return self.ledger.get_line(account).wei

    @property
    def promised(self) -> int:
        """What the vouchers it holds promise."""
        rows = [row for row in self.disk.values() if isinstance(row, ReceivedVoucherRow)]
        return sum(row.signed.voucher.amount for row in rows)


class Farm:
    """Members with these weights, in basis points."""

    def __init__(self, *weights: int, deposit: int = 10_000, slots: int = 100) -> None:
        self.now = NOW
        self.slots = slots
        self.numbers = count(2)
        self.deposit = deposit
        self.is_chain_slow = False
        self.under_way: deque[tuple[Member, given.Input]] = deque()
        # The other end of each stream between members.
        self.ends: dict[tuple[int, StreamId], tuple[int, StreamId]] = {}
        self.dead: set[int] = set()
        self.members = [Member(self, place, weight) for place, weight in enumerate(weights)]

    def find_fellows(self, member: Member) -> list[Fellow]:
        return [other.fellow for other in self.members if other is not member]

    def build_state(self, channel: ChannelId) -> ChannelState | None:
        """A channel as the chain has it; payers are called `payer`, `payer 1` ..."""
        for name in ("payer", *(f"payer {number}" for number in range(1, 40))):
            state = build_state(build_terms(Account(name)), self.deposit)
            if state.channel == channel:
                return state
        return None

    def post(self, member: Member, happened: given.Input) -> None:
        """Something will reach a member."""
        self.under_way.append((member, happened))

    def fetch(self, member: Member, channel: ChannelId) -> None:
        """The chain answers, unless it is slow."""
        if not self.is_chain_slow:
            self.post(member, given.ChannelFetched(channel, self.build_state(channel)))

    def carry(self, member: Member, effect: fx.Effect) -> None:
        """Do what an effect says of a stream between members."""
        match effect:
            case fx.OpenStream(stream, peer):
                other = next(one for one in self.members if one.key.peer == peer)
                if other.place in self.dead:
                    self.post(member, given.StreamFailed(stream, "dead"))
                    return
                theirs = StreamId(next(self.numbers))
                self.ends[member.place, stream] = other.place, theirs
                self.ends[other.place, theirs] = member.place, stream
                opened = given.StreamOpened(theirs, member.key.peer, MEMBERS_PROTOCOL)
                self.post(other, opened)
                self.post(member, given.StreamReady(stream))
            case fx.Send(stream, payload) if (member.place, stream) in self.ends:
                place, theirs = self.ends[member.place, stream]
                self.post(self.members[place], given.FrameReceived(theirs, payload))
            case fx.CloseStream(stream) | fx.ResetStream(stream):
                end = self.ends.pop((member.place, stream), None)
                if end is not None:
                    clean = isinstance(effect, fx.CloseStream)
                    self.post(self.members[end[0]], given.StreamEnded(end[1], clean, ""))
            case _:
                pass

    def restart(self, member: Member) -> None:
        """A member crashes and begins anew; its streams are gone, and what was on its way to it."""
        self.under_way = deque(one for one in self.under_way if one[0] is not member)
        for place, stream in list(self.ends):
            if place == member.place:
                self.carry(member, fx.ResetStream(stream))
        member.start()

    def deliver(self, which: int = 0) -> None:
        """The first thing under way arrives, or another one of another end before it."""
        index = which % len(self.under_way)
        member, happened = self.under_way[index]
        # What is about one stream, or one member's engine, keeps its order.
        name = getattr(happened, "stream", None)
        first = next(
            place
            for place, (other, earlier) in enumerate(self.under_way)
            if other is member and getattr(earlier, "stream", None) == name
        )
        member, happened = self.under_way[first]
        del self.under_way[first]
        if member.place not in self.dead:
            member.step(happened)

    def pump(self) -> None:
        """Until nothing is under way."""
        while self.under_way:
            self.deliver()

    def gossip(self) -> None:
        """Every member tells its fellows."""
        self.now = UnixMs(self.now + TELL_INTERVAL_MS)
        for member in self.members:
            if member.place not in self.dead:
                member.tell()
        self.pump()

    def pass_time(self, more_ms: int) -> None:
        """Let timers fire that are due within so long."""
        self.now = UnixMs(self.now + more_ms)
        for member in self.members:
            for timer, at in sorted(member.timers.items()):
                if at <= self.now and timer in member.timers:
                    del member.timers[timer]
                    member.step(given.TimerFired(timer))
        self.pump()
