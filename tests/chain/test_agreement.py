"""The ledger in memory, the core's books and the contracts on anvil do the same random acts.

One state machine does each act twice, on a MemoryLedger and on PaymentChannels over anvil, and
compares what both say, and afterwards the state of everything. Channels with an even number are
paid by the rules of protocols/ledger: what a PayeeLedger took of them must come, to the last unit.
On the others anything may be signed, by anybody. Splits come in between.
"""

import os
from collections.abc import Awaitable, Callable
from queue import Queue
from threading import Thread
from typing import Any, TypeVar

import pytest
import trio
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace

from p2p_modelex.chain.abc import Chain, Deployment
from p2p_modelex.chain.devnet import Devnet
from p2p_modelex.chain.evm.rpc import Rpc
from p2p_modelex.core.ledger.payee import PayeeLedger
from p2p_modelex.errors import JobRefused, Reverted
from p2p_modelex.ids import Address, ChannelId, Digest, JobId
from p2p_modelex.records import voucher as voucher_record
from p2p_modelex.records.channel import PAYER_SIGNS, ChannelState, ChannelTerms, Claim
from p2p_modelex.records.eip712 import word
from p2p_modelex.records.split import SplitState
from p2p_modelex.records.voucher import SignedVoucher, Voucher
from p2p_modelex.units import AI, SPLITS_MAX, Epoch, UnixMs, Wei, rescale
from tests.chain.worlds import CHALLENGE_S, NOTICE, PAUSE, EvmWorld, MemoryWorld, World, new_key

T = TypeVar("T")
STEPS = int(os.environ.get("MODELEX_AGREEMENT_STEPS", "1500"))
"""Acts in all; `make agreement STEPS=10000` does more."""
STEPS_EACH = 100
CHANNELS_MAX = 6
HELD = Wei(20 * AI)
NOW = UnixMs(0)
DELEGATE, STRANGER = new_key(), new_key()

accounts = st.integers(0, 2)
places = st.integers(0, CHANNELS_MAX - 1)
lanes = st.integers(0, 2)
# Odd ones too, which no amount of an earlier epoch can become.
some = st.integers(1, 2 * AI)
# And none, and more than anybody has.
amounts = some | some | st.sampled_from([0, 1, 7 * AI, HELD + 1, 2**128 - 1])
mostly = st.sampled_from([True, True, True, False])


class Portal:
    """A Trio run in a thread, for rules, which are not async."""

    def __init__(self) -> None:
        self._begun: Queue[tuple[trio.lowlevel.TrioToken, trio.Event]] = Queue()
        self._thread = Thread(target=trio.run, args=(self._serve,))
        self._thread.start()
        self._token, self._end = self._begun.get()

    async def _serve(self) -> None:
        end = trio.Event()
        self._begun.put((trio.lowlevel.current_trio_token(), end))
        await end.wait()

    def run(self, act: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        return trio.from_thread.run(act, *arguments, trio_token=self._token)

    def close(self) -> None:
        self._token.run_sync_soon(self._end.set)
        self._thread.join()


class Agreement(RuleBasedStateMachine):
    """Three accounts, and up to six channels between them."""

    up: tuple[Devnet, Deployment]

    def __init__(self) -> None:
        super().__init__()
        net, self.deployment = self.up
        self.portal, self.rpc = Portal(), Rpc(net.url)
        self.snapshot = self.portal.run(self.rpc.call, "evm_snapshot")
        self.memory = MemoryWorld(self.deployment)
        self.evm = EvmWorld(net.url, self.deployment)
        self.keys = [new_key() for _ in range(3)]
        self.ports: dict[World, list[Chain]] = {
            world: [self.portal.run(world.add_account, key, HELD) for key in self.keys]
            for world in (self.memory, self.evm)
        }
        self.others = self.fetch_held(self.evm, self.deployment.channels)
        self.books = [
            PayeeLedger(key.address, self.deployment.channels_domain) for key in self.keys
        ]
        self.terms: list[ChannelTerms] = []
        self.wild: list[Claim] = []
        # Channel and lane -> what the books hold and have redeemed of it, wei of an epoch.
        self.held: dict[tuple[ChannelId, int], tuple[int, Epoch]] = {}
        self.redeemed: dict[tuple[ChannelId, int], tuple[int, Epoch]] = {}
        self.jobs = 0
        self.refusals: set[str] = set()
        self.closed: set[ChannelId] = set()

    def teardown(self) -> None:
        self.portal.run(self.evm.__aexit__)
        self.portal.run(self.rpc.call, "evm_revert", self.snapshot)
        self.portal.run(self.rpc.aclose)
        self.portal.close()

    # What a rule needs.

    def both(self, who: int, act: Callable[[Chain], Awaitable[T]]) -> T | str:
        """Do it on both sides; return what both did, or the name of the error of both."""
        begun = {world: self.fetch_split(world).block for world in self.ports}
        told = {world: self.attempt(ports[who], act) for world, ports in self.ports.items()}
        assert told[self.memory] == told[self.evm]
        # Paying out after a pause is a transaction of its own on a real chain.
        passed = {world: self.fetch_split(world).block - begun[world] for world in self.ports}
        self.portal.run(self.memory.pass_blocks, passed[self.evm] - passed[self.memory])
        return told[self.memory]

    def attempt(self, port: Chain, act: Callable[[Chain], Awaitable[T]]) -> T | str:
        try:
            return self.portal.run(act, port)
        except Reverted as error:
            return error.name

    def fetch_split(self, world: World) -> SplitState:
        return self.portal.run(self.ports[world][0].fetch_split)

    def fetch_held(self, world: World, account: Address) -> int:
        return self.portal.run(self.ports[world][0].fetch_balance, account)

    def fetch_channel(self, world: World, terms: ChannelTerms) -> ChannelState:
        state = self.portal.run(self.ports[world][0].fetch_channel, terms)
        assert state is not None
        return _without_clock(state)

    @property
    def epoch(self) -> Epoch:
        return self.fetch_split(self.memory).epoch

    def find(self, place: int, *, is_wild: bool) -> ChannelTerms | None:
        """A channel of a kind: those with an odd number are the wild ones."""
        chosen = self.terms[1 if is_wild else 0 :: 2]
        return chosen[place % len(chosen)] if chosen else None

    def number_of(self, account: bytes) -> int:
        return next(n for n, key in enumerate(self.keys) if key.address == account)

    def sign(self, terms: ChannelTerms, lane: int, amount: int, epoch: int) -> SignedVoucher:
        payer = self.keys[self.number_of(terms.payer)]
        promise = Voucher(self.deployment.channel_id(terms), lane, Wei(amount), epoch)
        signer = payer if terms.signer == PAYER_SIGNS else DELEGATE
        return voucher_record.sign(promise, self.deployment.channels_domain, signer)

    def read(self, kept: dict[tuple[ChannelId, int], tuple[int, Epoch]], *key: Any) -> int:
        amount, written = kept.get((key[0], key[1]), (0, Epoch(0)))
        return rescale(amount, written, self.epoch)

    # What happens.

    @initialize(deposits=st.lists(st.integers(AI, 6 * AI), min_size=4, max_size=4))
    def begin(self, deposits: list[int]) -> None:
        for number, deposit in enumerate(deposits):
            self.open(number % 2, 2 - number // 2, deposit, delegated=number == 1)

    @precondition(lambda self: len(self.terms) < CHANNELS_MAX)
    @rule(payer=accounts, payee=accounts, deposit=amounts, delegated=st.booleans())
    def open(self, payer: int, payee: int, deposit: int, delegated: bool) -> None:
        to = self.keys[payee].address
        signer = DELEGATE.address if delegated else PAYER_SIGNS
        salt = Digest(word(len(self.terms)))

        async def act(port: Chain) -> ChannelState:
            return _without_clock(await port.open_channel(to, Wei(deposit), signer, salt))

        opened = self.both(payer, act)
        if isinstance(opened, ChannelState):
            self.terms.append(opened.terms)

    @rule(sender=accounts, place=places, amount=amounts, is_wild=st.booleans())
    def top_up(self, sender: int, place: int, amount: int, is_wild: bool) -> None:
        terms = self.find(place, is_wild=is_wild)
        if terms is not None:
            self.both(sender, _then_state(lambda port: port.top_up(terms, Wei(amount))))

    @rule(
        place=places,
        lane=lanes,
        amount=amounts,
        epochs=st.sampled_from([0, 0, -1, 1]),
        honest=mostly,
        grows=mostly,
        sender=accounts,
        again=st.lists(st.integers(0, 99), max_size=4),
    )
    def redeem_anything(
        self,
        place: int,
        lane: int,
        amount: int,
        epochs: int,
        honest: bool,
        grows: bool,
        sender: int,
        again: list[int],
    ) -> None:
        """A new voucher, forged or of another epoch as may be, and old ones, the same one twice."""
        terms = self.find(place, is_wild=True)
        if terms is None:
            return
        before = [v.amount for v in self.promises(terms, lane) if v.amount < HELD << self.epoch]
        amount = min(amount + max(before, default=0) if grows else amount, 2**128 - 1)
        signed = self.sign(terms, lane, amount, max(0, self.epoch + epochs))
        if not honest:
            domain = self.deployment.channels_domain
            signed = voucher_record.sign(signed.voucher, domain, STRANGER)
        held = [claim for claim in self.wild if claim.terms.payee == terms.payee]
        self.wild.append(Claim(terms, signed))
        old = [held[number % len(held)] for number in again if held]
        self.redeem(sender, [*old[:2], self.wild[-1], *old[2:]])

    def promises(self, terms: ChannelTerms, lane: int) -> list[Voucher]:
        held = [claim.signed.voucher for claim in self.wild if claim.terms == terms]
        return [promise for promise in held if promise.lane == lane]

    @rule(place=places, lane=lanes, more=some, redeemed=st.booleans())
    def pay(self, place: int, lane: int, more: int, redeemed: bool) -> None:
        """A job by the rules: the payee takes the voucher or refuses it; both are right."""
        terms = self.find(place, is_wild=False)
        if terms is None:
            return
        channel = self.deployment.channel_id(terms)
        epoch, before = self.epoch, self.read(self.held, channel, lane)
        signed, books = (
            self.sign(terms, lane, before + more, epoch),
            self.books[self.number_of(terms.payee)],
        )
        self.jobs += 1
        job = JobId(self.jobs.to_bytes(16, "big"))
        try:
            books.open_lane(
                job, signed, epoch, base=Wei(before), window=Wei(more), ceiling=Wei(more)
            )
        except JobRefused as refusal:
            self.refusals.add(refusal.code)
            return
        books.earn(job, Wei(more))
        books.close(job)
        self.held[channel, lane] = before + more, epoch
        if redeemed:
            self.redeem_books(self.number_of(terms.payee))

    def redeem_books(self, payee: int) -> None:
        """Every unit that the books count on comes, unless the payer closed before."""
        claims = list(self.books[payee].claims_to_redeem(NOW, is_forced=True))
        credited = self.redeem(payee, claims)
        # In the epoch of its block, which may be the first of a new one.
        gains = [self.compute_gain(claim.signed.voucher) for claim in claims]
        for claim, gain, credit in zip(claims, gains, credited, strict=True):
            promise = claim.signed.voucher
            assert credit == (0 if self.is_closed(claim.terms) else gain)
            key = ChannelId(promise.channel), promise.lane
            self.redeemed[key] = promise.amount, Epoch(promise.epoch)
            self.books[payee].note_redeemed(promise)

    def compute_gain(self, promise: Voucher) -> int:
        before = self.read(self.redeemed, promise.channel, promise.lane)
        return rescale(promise.amount, promise.epoch, self.epoch) - before

    def is_closed(self, terms: ChannelTerms) -> bool:
        """Whether what was left went back to the payer."""
        return self.deployment.channel_id(terms) in self.closed

    def redeem(self, sender: int, claims: list[Claim]) -> tuple[Wei, ...]:
        if not claims:
            return ()
        split = self.fetch_split(self.memory)
        if 0 <= split.pauses_at - split.block <= 2:  # two transactions must see the same token
            self.pass_blocks(3)

        async def act(port: Chain) -> tuple[Wei, ...]:
            return (await port.redeem(claims)).credited

        credited = self.both(sender, act)
        assert isinstance(credited, tuple)
        return credited

    @rule(caller=accounts, place=places, is_wild=st.booleans(), is_payer=mostly)
    def start_close(self, caller: int, place: int, is_wild: bool, is_payer: bool) -> None:
        """And what the books hold is redeemed in the challenge period, half of the time."""
        terms = self.find(place, is_wild=is_wild)
        if terms is None:
            return
        if is_payer:
            caller = self.number_of(terms.payer)
        self.both(caller, _then_state(lambda port: port.start_close(terms)))
        if place % 2:
            self.redeem_books(self.number_of(terms.payee))

    @rule(caller=accounts, place=places, is_wild=st.booleans())
    def finish_close(self, caller: int, place: int, is_wild: bool) -> None:
        terms = self.find(place, is_wild=is_wild)
        if terms is None:
            return
        closed = self.both(caller, _then_state(lambda port: port.finish_close(terms)))
        if isinstance(closed, ChannelState):
            self.closed.add(ChannelId(closed.channel))

    @rule(caller=accounts, place=places, is_wild=st.booleans(), is_payee=st.booleans())
    def close_as_payee(self, caller: int, place: int, is_wild: bool, is_payee: bool) -> None:
        """A payee redeems what it holds before."""
        terms = self.find(place, is_wild=is_wild)
        if terms is None:
            return
        if is_payee:
            caller = self.number_of(terms.payee)
            self.redeem_books(caller)
        closed = self.both(caller, _then_state(lambda port: port.close_as_payee(terms)))
        if isinstance(closed, ChannelState):
            self.closed.add(ChannelId(closed.channel))

    @rule(sender=accounts, to=accounts, amount=amounts)
    def transfer(self, sender: int, to: int, amount: int) -> None:
        async def act(port: Chain) -> None:
            await port.transfer(self.keys[to].address, Wei(amount))

        self.both(sender, act)

    @rule()
    def pass_challenge(self) -> None:
        for world in self.ports:
            self.portal.run(world.pass_time, 2 * CHALLENGE_S)
        self.portal.run(self.memory.pass_blocks, 1)  # the one that the other side mined for it

    @rule(number=st.sampled_from([1, NOTICE - 1, NOTICE, NOTICE + PAUSE]))
    def pass_blocks(self, number: int) -> None:
        for world in self.ports:
            self.portal.run(world.pass_blocks, number)

    @rule(number=st.sampled_from([0, NOTICE, NOTICE + PAUSE]))
    def announce_split(self, number: int) -> None:
        """And go into its pause, or past it, or neither. After the last one there is no other."""
        split = self.fetch_split(self.memory)
        if split.splits_at:
            return
        if split.epoch == SPLITS_MAX:
            for world in self.ports:
                with pytest.raises(Reverted, match="NoMoreSplits"):
                    self.portal.run(world.announce_split)
            return
        for world in self.ports:
            self.portal.run(world.announce_split)
        self.pass_blocks(number)

    # What always holds.

    @invariant()
    def honest_vouchers_are_refused_for_two_reasons_only(self) -> None:
        assert self.refusals <= {"channel_exhausted", "no_channel"}

    @invariant()
    def the_token_is_where_it_was(self) -> None:
        ours, theirs = (self.fetch_split(world) for world in (self.memory, self.evm))
        assert ours.epoch == theirs.epoch
        assert bool(ours.splits_at) == bool(theirs.splits_at)
        if ours.splits_at:
            assert ours.pauses_at - ours.block == theirs.pauses_at - theirs.block
            assert ours.splits_at - ours.block == theirs.splits_at - theirs.block

    @invariant()
    def everybody_has_the_same(self) -> None:
        held = {
            world: [self.fetch_held(world, key.address) for key in self.keys]
            for world in self.ports
        }
        assert held[self.memory] == held[self.evm]
        in_channels = self.fetch_held(self.evm, self.deployment.channels)
        assert sum(held[self.evm]) + in_channels == (3 * HELD + self.others) << self.epoch

    @invariant()
    def every_channel_is_the_same(self) -> None:
        """And the books see it, as their node's watch would show it to them."""
        for terms in self.terms:
            state = self.fetch_channel(self.memory, terms)
            assert state == self.fetch_channel(self.evm, terms)
            self.books[self.number_of(terms.payee)].note_channel(state)


def _then_state(
    act: Callable[[Chain], Awaitable[ChannelState]],
) -> Callable[[Chain], Awaitable[ChannelState]]:
    async def told(port: Chain) -> ChannelState:
        return _without_clock(await act(port))

    return told


def _without_clock(state: ChannelState) -> ChannelState:
    """The two sides' clocks differ."""
    return replace(state, closes_at=int(not state.is_open))


@pytest.mark.slow
def test_memory_books_and_contracts_agree_at_every_step(
    anvil: tuple[Devnet, Deployment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Agreement, "up", anvil, raising=False)
    run_state_machine_as_test(
        Agreement,
        settings=settings(
            max_examples=max(1, STEPS // STEPS_EACH),
            stateful_step_count=STEPS_EACH,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
