"""What the model of the chain says of deposits whose end nobody knows, and how they end."""

from collections.abc import Iterator

import msgspec
import pytest

from p2p_modelex.chain.evm.sender import RECEIPT_TIMEOUT_S
from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as inp
from p2p_modelex.ids import ChannelId, Digest
from p2p_modelex.records.channel import PAYER_SIGNS, ChannelState, ChannelTerms
from p2p_modelex.records.eip712 import word
from p2p_modelex.simulation.models.transactions import StartClose
from p2p_modelex.units import AI, Wei
from tests.simulation.test_chain import Node, Town

GOOD, LOST, FAILED = 1.0, 0.3, 0.1
SIGNED = (b"signed",)


class Bank(Town):
    """A town with a channel between its first two nodes. lucks: what becomes of what is asked."""

    def __init__(self, *lucks: float, **settings: object) -> None:
        super().__init__(fails=0.2, **settings)
        self.lucks: Iterator[float] = iter([])
        self.chain._rng.random = lambda: next(self.lucks, GOOD)  # type: ignore[method-assign]
        name = self.open()
        self.run(60)
        state = self.chain.ledger.channel(name)
        assert state is not None
        self.state = state
        self.nodes[0].told.clear()
        self.lucks = iter(lucks)

    @property
    def channel(self) -> ChannelState:
        found = self.chain.ledger.channel(ChannelId(self.state.channel))
        assert found is not None
        return found

    @property
    def top_up(self) -> fx.TopUpChannel:
        payee = self.nodes[1].account
        return fx.TopUpChannel(payee, self.state.terms, Wei(AI), signed=SIGNED)

    def told(self, node: Node | None = None) -> list[str]:
        """What a node was told, in words."""
        return [_say(one) for one in (node or self.nodes[0]).told]


def _say(one: msgspec.Struct) -> str:
    if isinstance(one, inp.ChannelOpened):
        return f"{one.state.deposit // AI} AI"
    assert isinstance(one, inp.ChannelOpenFailed)
    return "in doubt" if one.is_pending else "failed"


def test_a_lost_answer_is_asked_for_again() -> None:
    bank = Bank(LOST, LOST)
    bank.ask(bank.nodes[0], bank.top_up)
    bank.run(60)
    assert bank.told() == ["in doubt", "in doubt", "2 AI"]
    assert bank.channel.deposit == 2 * AI


def test_what_was_never_sent_has_failed_and_what_may_have_been_is_in_doubt() -> None:
    bank = Bank(FAILED, FAILED)
    bank.ask(bank.nodes[0], bank.top_up)
    bank.run(60)
    assert bank.told() == ["failed"]
    bank.chain.call(bank.nodes[0], bank.top_up, bank.kernel.now, is_first=False)
    bank.run(60)
    assert bank.told() == ["failed", "in doubt", "2 AI"]


def test_what_no_block_takes_is_told_of_now_and_then_and_is_mined_once() -> None:
    bank = Bank()
    weather = bank.chain.blocks.weather
    weather.censored_until, weather.share = bank.kernel.now + 500_000_000, 1.0
    weather.nodes = frozenset({bank.nodes[0].number})
    bank.ask(bank.nodes[0], bank.top_up)
    bank.run(int(2.5 * RECEIPT_TIMEOUT_S))
    assert bank.told() == ["in doubt", "in doubt"]
    bank.run(120)
    assert bank.told() == ["in doubt", "in doubt", "2 AI"]
    assert bank.channel.deposit == 2 * AI


def test_who_died_meanwhile_is_told_in_its_next_life() -> None:
    bank = Bank()
    bank.ask(bank.nodes[0], bank.top_up)
    bank.run(2)
    old, new = bank.nodes[0], Node(bank.nodes[0].number)
    old.is_over = True
    bank.chain.call(new, bank.top_up, bank.kernel.now, is_first=False)
    bank.run(30)
    assert (bank.told(), bank.told(new)) == ([], ["2 AI"])
    bank.chain.call(new, bank.top_up, bank.kernel.now, is_first=False)
    bank.run(30)
    assert bank.told(new) == ["2 AI", "2 AI"]
    assert bank.channel.deposit == 2 * AI


def test_who_is_dead_asks_no_more() -> None:
    bank = Bank(LOST)
    bank.ask(bank.nodes[0], bank.top_up)
    bank.run(5)
    bank.nodes[0].is_over = True
    bank.run(100)
    assert bank.told() == ["in doubt"]
    assert bank.kernel.pending == 0


def test_a_sender_that_is_gone_takes_no_answer_from_who_is_back() -> None:
    bank = Bank()
    old, new = bank.nodes[0], Node(bank.nodes[0].number)
    bank.chain.call(new, bank.top_up, bank.kernel.now, is_first=False)
    old.is_over = True
    bank.ask(old, bank.top_up)
    bank.run(30)
    assert bank.told(new) == ["2 AI"]


def test_what_a_closing_channel_refused_is_known_once_the_chain_is_back() -> None:
    bank = Bank()
    bank.ask(bank.nodes[0], StartClose(bank.state.terms))
    bank.ask(bank.nodes[0], bank.top_up)
    bank.run(5)
    bank.chain.blocks.weather.down_until = bank.kernel.now + 20_000_000
    bank.run(60)
    assert bank.told() == ["in doubt", "in doubt", "failed"]
    assert bank.channel.deposit == AI


def test_a_deposit_that_a_reorg_dropped_is_made_all_the_same() -> None:
    bank = Bank(confirmations=1, reorgs=0.5, reorg_depth=1, dropped=0.5)
    bank.ask(bank.nodes[0], bank.top_up)
    bank.run(600)
    assert bank.told()[-1] == "2 AI"
    assert bank.channel.deposit == 2 * AI


@pytest.mark.parametrize("lucks", [(LOST,), (GOOD,)])
def test_an_opening_is_made_once_as_well(lucks: tuple[float, ...]) -> None:
    bank = Bank(*lucks)
    payee = bank.nodes[2].account
    opening = fx.OpenChannel(payee, Wei(AI), Digest(word(7)), signed=SIGNED)
    bank.ask(bank.nodes[0], opening)
    bank.run(60)
    terms = ChannelTerms(bank.nodes[0].account, payee, PAYER_SIGNS, opening.salt)
    state = bank.chain.ledger.channel(bank.chain.ledger.deployment.channel_id(terms))
    assert bank.nodes[0].told[-1] == inp.ChannelOpened(payee, state)  # type: ignore[arg-type]
    assert bank.chain.ledger.balance(bank.nodes[0].account) == 8 * AI
