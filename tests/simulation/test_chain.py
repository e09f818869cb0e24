"""The model of the chain: blocks, fees, reorgs, censorship, closing payers."""

import json
import random
from pathlib import Path

import msgspec
import pytest

from p2p_modelex.chain.evm import fees, port
from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as inp
from p2p_modelex.ids import Address, ChannelId, Digest
from p2p_modelex.node.money import DOUBT_PAUSE_S
from p2p_modelex.records.channel import PAYER_SIGNS, ChannelState, ChannelTerms
from p2p_modelex.records.eip712 import word
from p2p_modelex.simulation.kernel import Kernel
from p2p_modelex.simulation.models import blocks, chain
from p2p_modelex.simulation.models.chain import ChainEffect, ChainModel
from p2p_modelex.simulation.models.fees import FEE_MIN, GWEI, TIP, FeeMarket
from p2p_modelex.simulation.models.splits import Split
from p2p_modelex.simulation.models.transactions import (
    GAS,
    GAS_REDEEM,
    GAS_REGISTER,
    GAS_VOUCHER,
    Rate,
    StartClose,
    compute_gas,
)
from p2p_modelex.simulation.scenario.quantities import Duration
from p2p_modelex.simulation.scenario.settings import Chain, Fees
from p2p_modelex.units import AI, Wei
from tests.simulation.worlds import FARM, MARKET, play

S = 1_000_000
BLOCK = 10 * S
SNAPSHOTS = Path(__file__).parents[2] / "contracts/snapshots"


def test_gas_is_that_of_the_snapshots() -> None:
    acts = {name: int(gas) for name, gas in _read("transactions").items()}
    names = {
        fx.OpenChannel: "open, the payer signs",
        fx.TopUpChannel: "top up",
        fx.PayOut: "settle",
        StartClose: "start close",
    }
    assert {kind: acts[name] for kind, name in names.items()}.items() <= GAS.items()
    assert GAS[Rate] == int(_read("services")["rate, first by the evaluator"])
    assert GAS[fx.PutAnchor] == int(_read("services")["update"])
    assert int(_read("services")["register"]) == GAS_REGISTER
    for many, name in ((1, "redeem 1"), (10, "redeem 10 channels"), (100, "redeem 100 channels")):
        assert GAS_REDEEM + many * GAS_VOUCHER == pytest.approx(acts[name], abs=50)


def _read(name: str) -> dict[str, str]:
    found: dict[str, str] = json.loads((SNAPSHOTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def test_what_a_node_does_about_fees_is_what_the_port_does() -> None:
    market = FeeMarket(Fees(base_fee=3.0), random.Random(1))
    history = {"baseFeePerGas": ["0x1", hex(3 * GWEI)], "reward": []}
    assert fees.compute_fees(history) == (TIP, market.bid())
    assert blocks.RESENT_US == port.REGISTRY_POLL_S * S
    assert chain.DOUBT_US == DOUBT_PAUSE_S * S


def test_ten_times_the_traffic_makes_the_fee_ten_times_as_high_and_back() -> None:
    market = FeeMarket(Fees(background=1.0, spread=0.1), random.Random(1))
    market.advance(100)
    assert 0.8 * GWEI < market.base_fee < 1.25 * GWEI
    market.factor = 10.0
    market.advance(110)
    assert market.base_fee < 4 * GWEI  # an eighth a block
    market.advance(200)
    assert 8 * GWEI < market.base_fee < 12.5 * GWEI
    assert market.compute_chance(0) == 1.0
    market.factor = 100.0
    market.advance(201)
    assert market.compute_chance(0) < 0.5
    market.factor = 1.0
    market.advance(300)
    assert 0.8 * GWEI < market.base_fee < 1.25 * GWEI


def test_a_chain_that_nobody_else_uses_costs_next_to_nothing() -> None:
    market = FeeMarket(Fees(), random.Random(1))
    market.advance(10**9)
    assert market.base_fee == FEE_MIN
    market.seal(30_000_000)
    assert market.base_fee == FEE_MIN + 1


class Node:
    """Whoever calls the chain, and what it was told."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.account = Address(bytes([number]) * 20)
        self.is_over = False
        self.told: list[msgspec.Struct] = []

    def receive(self, event: msgspec.Struct) -> None:
        self.told.append(event)

    def opened(self) -> list[ChannelState]:
        return [one.state for one in self.told if isinstance(one, inp.ChannelOpened)]


class Town:
    """A chain with ten seconds between blocks, and nodes with 10 AI each."""

    def __init__(self, **settings: object) -> None:
        self.kernel = Kernel()
        chain = Chain(block=Duration(BLOCK), read=Duration(S), **settings)  # type: ignore[arg-type]
        self.mined: list[fx.Effect] = []
        self.chain = ChainModel(
            chain,
            self.kernel,
            random.Random,
            lambda: self.kernel.now // S,
            lambda one: self.mined.append(one.effect),  # type: ignore[arg-type]
        )
        self.nodes = [Node(number) for number in (11, 12, 13)]
        for node in self.nodes:
            self.chain.ledger.mint(node.account, Wei(10 * AI))
        self.chain.begin()

    def ask(self, node: Node, effect: ChainEffect) -> None:
        self.chain.call(node, effect, self.kernel.now)

    def open(self, payer: int = 0, salt: int = 1) -> ChannelId:
        """Ask for a channel of 1 AI to the next node."""
        node, payee = self.nodes[payer], self.nodes[(payer + 1) % 3].account
        effect = fx.OpenChannel(payee, Wei(AI), Digest(word(salt)))
        self.ask(node, effect)
        terms = ChannelTerms(node.account, payee, PAYER_SIGNS, effect.salt)
        return self.chain.ledger.deployment.channel_id(terms)

    def run(self, seconds: int) -> None:
        self.kernel.run(self.kernel.now + seconds * S)


def test_a_transaction_is_mined_with_the_next_block_and_answered() -> None:
    town = Town()
    channel = town.open()
    town.run(9)
    assert town.chain.ledger.channel(channel) is None
    town.run(2)
    [state] = town.nodes[0].opened()
    assert state == town.chain.ledger.channel(channel)
    assert town.chain.blocks.tally.gas == {"open": GAS[fx.OpenChannel]}
    assert town.kernel.pending == 0  # no blocks where there is nothing to do


def test_a_deposit_is_told_when_it_is_as_deep_as_readers_want_it() -> None:
    town = Town(confirmations=3)
    channel = town.open()
    town.run(39)
    town.ask(town.nodes[1], fx.FetchChannel(channel, None))  # type: ignore[arg-type]
    assert town.chain.ledger.channel(channel) is not None
    assert town.nodes[0].opened() == []
    town.run(5)
    assert town.nodes[0].opened() == [town.chain.ledger.channel(channel)]
    assert town.nodes[1].told == [inp.ChannelFetched(channel, town.chain.ledger.channel(channel))]


def test_a_channel_that_is_there_is_not_opened_twice() -> None:
    town = Town()
    town.open()
    town.open()
    town.run(12)
    town.open()
    town.run(12)
    kinds = [type(one) for one in town.nodes[0].told]
    assert kinds == [inp.ChannelOpened, inp.ChannelOpenFailed, inp.ChannelOpened]
    assert town.chain.ledger.balance(town.nodes[0].account) == 9 * AI


def test_what_a_fee_leaves_behind_waits_and_so_does_what_comes_after_it() -> None:
    town = Town(fees=Fees(background=1.0, spread=0.0, raises=False))
    town.chain.blocks.market.factor = 20.0
    town.run(100)
    town.open(salt=1)
    town.chain.blocks.market.factor = 400.0  # the offer of twice the fee is soon too little
    town.run(2)
    town.chain.blocks.market.advance(20)
    town.open(salt=2)
    town.run(100)
    assert town.mined == []
    town.run(120)
    assert [type(one) for one in town.nodes[0].told] == [inp.ChannelOpenFailed] * 2
    town.chain.blocks.market.factor = 1.0
    town.run(600)
    assert len(town.mined) == 2  # mined long after their sender gave up
    assert town.nodes[0].opened() == []


def test_who_raises_its_offer_gets_in() -> None:
    town = Town(fees=Fees(background=1.0, spread=0.0))
    town.run(100)
    town.open()
    town.run(2)
    town.chain.blocks.market.factor = 400.0
    town.chain.blocks.market.advance(30)
    town.run(170)
    assert len(town.nodes[0].opened()) == 1
    fees = town.chain.blocks.tally.fees["open"]
    assert fees > 3 * GWEI * GAS[fx.OpenChannel]


def test_a_reorg_takes_a_transaction_back_and_it_is_mined_again() -> None:
    town = Town(reorgs=1.0, reorg_depth=1)
    channel = town.open()
    town.run(12)
    assert town.chain.ledger.channel(channel) is not None
    town.run(10)
    tally = town.chain.blocks.tally
    assert tally.undone >= 1
    assert tally.transactions == 1
    assert town.chain.ledger.channel(channel) is not None
    assert len(town.nodes[0].opened()) == 1


def test_what_a_reorg_drops_is_sent_again_by_who_is_still_there() -> None:
    town = Town(reorgs=1.0, reorg_depth=1, dropped=1.0)
    kept, gone = town.open(payer=0), town.open(payer=1)
    town.run(12)
    town.nodes[1].is_over = True
    town.run(10)
    assert town.chain.ledger.channel(kept) is None
    town.run(20)
    assert town.chain.blocks.tally.forgotten == 1
    assert town.chain.ledger.channel(gone) is None
    assert ChannelId(kept) in town.chain.known


def test_a_deposit_that_a_reorg_undid_has_failed() -> None:
    town = Town(confirmations=1, reorgs=1.0, reorg_depth=1, dropped=1.0)
    town.open()
    town.run(24)
    assert [type(one) for one in town.nodes[0].told] == [inp.ChannelOpenFailed]


def test_builders_leave_out_whom_they_censor() -> None:
    town = Town()
    weather = town.chain.blocks.weather
    weather.censored_until, weather.share, weather.nodes = 100 * S, 1.0, frozenset({11})
    town.open(payer=0)
    town.open(payer=1)
    town.run(90)
    assert len(town.nodes[1].opened()) == 1
    assert town.nodes[0].told == []
    town.run(20)
    assert len(town.nodes[0].opened()) == 1


def test_a_payer_that_closes_gets_the_rest_after_the_challenge_period() -> None:
    town = Town(challenge=Duration(60 * S))
    channel = town.open()
    town.run(12)
    state = town.chain.ledger.channel(channel)
    assert state is not None
    town.ask(town.nodes[0], StartClose(state.terms))
    town.run(60)
    assert not town.chain.ledger.is_closed(channel)
    town.run(40)
    assert town.chain.ledger.is_closed(channel)
    assert town.chain.ledger.balance(town.nodes[0].account) == 10 * AI


def test_paying_out_nothing_is_no_transaction() -> None:
    town = Town()
    town.ask(town.nodes[0], fx.PayOut(town.nodes[0].account))
    town.run(30)
    assert town.mined == []


def test_a_nodes_first_anchor_registers_it() -> None:
    town = Town()
    node = town.nodes[0]
    put = fx.PutAnchor(b"p" * 32, Digest(b"d" * 32), 1)  # type: ignore[arg-type]
    assert compute_gas(town.chain.ledger, node.account, put) == GAS_REGISTER
    for _ in range(2):
        town.ask(node, put)
        town.run(12)
    assert node.told == [inp.AnchorPut()] * 2
    assert len(town.mined) == 1
    newer = fx.PutAnchor(b"p" * 32, Digest(b"e" * 32), 2)  # type: ignore[arg-type]
    assert compute_gas(town.chain.ledger, node.account, newer) == GAS[fx.PutAnchor]


def test_a_split_doubles_every_amount_at_its_height_behind_a_pause() -> None:
    town = Town()
    channel = town.open()
    town.run(12)
    town.chain.announce_split(92 * S, 40 * S)
    town.chain.announce_split(300 * S, 40 * S)  # one is pending
    assert town.chain.blocks.splits.planned == [Split(announced=2, pauses=5, splits=9)]
    town.open(salt=2)
    town.run(28)  # until the block before the pause is made
    assert not town.chain.fetch_split().is_paused
    town.run(1)
    assert town.chain.fetch_split().is_paused
    assert len(town.nodes[0].opened()) == 2
    town.open(salt=3)
    town.run(30)
    told = [type(one) for one in town.nodes[0].told[2:]]
    assert told == [inp.SplitFetched, inp.ChannelOpenFailed]
    town.run(12)
    assert not town.chain.fetch_split().is_paused, "the next block has it behind it"
    assert town.chain.blocks.splits.epoch == 0
    town.run(8)
    split = town.chain.fetch_split()
    assert (split.epoch, split.splits_at) == (1, 0)
    assert town.chain.ledger.balance(town.nodes[0].account) == 2 * 8 * AI
    state = town.chain.ledger.channel(channel)
    assert state is not None
    assert (state.deposit, state.epoch) == (AI, 0), "nobody has touched it"


def test_a_reorg_over_a_split_takes_no_height_back() -> None:
    town = Town(reorgs=1.0, reorg_depth=3, confirmations=2)
    town.chain.announce_split(60 * S, 20 * S)
    town.run(1)
    for salt in range(12):
        town.open(payer=salt % 3, salt=salt)
        town.run(10)
        head = town.kernel.now // BLOCK
        split = town.chain.fetch_split()
        assert split.epoch == int(head >= 6)
        assert split.is_paused == (head + 1 in (4, 5))
        assert town.chain.ledger.supply == 30 * AI << split.epoch
    assert town.chain.blocks.tally.undone > 0


def test_whoever_closes_in_a_pause_gets_the_rest_behind_it() -> None:
    town = Town(challenge=Duration(30 * S))
    early, late = town.open(salt=1), town.open(salt=2)
    town.run(12)
    town.chain.announce_split(120 * S, 60 * S)
    for channel in (early, late):
        state = town.chain.ledger.channel(channel)
        assert state is not None
        town.ask(town.nodes[0], StartClose(state.terms))
        town.run(10)
    town.run(80)  # one is sent in time for the first block of the pause, the other one in it
    assert not town.chain.ledger.is_closed(early)
    assert not town.chain.ledger.is_closed(late)
    town.run(50)
    assert town.chain.ledger.is_closed(early)
    assert town.chain.ledger.is_closed(late)
    assert town.chain.ledger.balance(town.nodes[0].account) == 2 * 10 * AI


@pytest.mark.slow
@pytest.mark.parametrize("world", [MARKET, FARM])
def test_everybody_is_paid_through_splits_and_reorgs(world: str) -> None:
    """In AI of before the splits; nothing is lost to rounding, nor in a pause."""
    splits = """
[[fault]]
kind = "split"
at = "20 s"
lasts = "10 s"

[[fault]]
kind = "split"
at = "35 s"
lasts = "10 s"
"""
    settings = [
        "chain.reorgs=0.1",
        "chain.reorg_depth=3",
        "chain.confirmations=1",
        "chain.block=1 s",
        "chain.threshold=0.001 AI",
        "chain.redeem_every=5 s",
        "population.2.deposit=0.1 AI",
        "workload.0.every=2 s",
    ]
    measures = play(world + splits, *settings).measures
    assert measures["finished"] > 15
    assert measures["redeemed_ai"] == measures["earned_ai"] == measures["paid_ai"] > 0
    assert measures["lost_ai"] == measures["owed_ai"] == measures["cheated_ai"] == 0


@pytest.mark.slow
def test_everybody_is_paid_through_reorgs_and_a_close() -> None:
    """And the checkers hold: money is conserved, and no voucher is forged that was not."""
    settings = [
        "chain.reorgs=0.1",
        "chain.reorg_depth=3",
        "chain.dropped=0.1",
        "chain.confirmations=1",
        "chain.challenge=60 s",
        "chain.redeem_every=1 d",
        "population.2.deposit=0.05 AI",
        "workload.0.lasts=30 s",
    ]
    closing = '[[fault]]\nkind = "closing"\nat = "55 s"\nlasts = "1 s"\nshare = 1.0\n'
    measures = play(MARKET + closing, *settings).measures
    assert measures["reorg_undone"] > 0
    assert measures["transactions_finish_close"] > 0
    assert measures["earned_ai"] > 0
    assert measures["redeemed_ai"] == measures["earned_ai"]
    assert measures["lost_ai"] == measures["owed_ai"] == 0


@pytest.mark.slow
def test_a_seller_that_is_censored_to_the_end_of_the_challenge_loses() -> None:
    settings = ["chain.challenge=30 s", "chain.redeem_every=1 d", "workload.0.lasts=20 s"]
    faults = """
[[fault]]
kind = "closing"
at = "40 s"
lasts = "1 s"
share = 1.0

[[fault]]
kind = "censorship"
population = "sellers"
at = "39 s"
lasts = "21 s"
share = 1.0
"""
    late = faults.replace('"21 s"', '"20 s"').replace('"39 s"', '"1 s"')
    assert play(MARKET + late, *settings).measures["lost_ai"] == 0
    lasting = MARKET.replace('"260 s"', '"300 s"') + faults.replace('"21 s"', '"60 s"')
    measures = play(lasting, *settings).measures
    assert measures["lost_ai"] == measures["earned_ai"] > 0
