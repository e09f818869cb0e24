"""What an endpoint may say to a wrapper: nonsense is as good as no answer."""

import pytest

from p2p_modelex.chain.contracts.contract import Sent, read_wei
from p2p_modelex.chain.evm.abi import Event
from p2p_modelex.chain.evm.artifacts import load_contracts
from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.errors import ChainUnreachable
from p2p_modelex.ids import Address, Digest
from p2p_modelex.units import UINT128_MAX, Epoch, Wei

HERE = Address(b"\1" * 20)
ERRORS = load_contracts().errors


def build_sent(*amounts: int) -> Sent:
    events = tuple(Event("Paid", {"amount": a, "epoch": 2}, 1, HERE) for a in amounts)
    return Sent(Digest(bytes(32)), 1, 21_000, events)


def test_events_are_found_by_name() -> None:
    assert build_sent(3, 4).event("Paid") == {"amount": 3, "epoch": 2}
    with pytest.raises(ChainUnreachable, match="left out the event Paid"):
        build_sent().event("Paid")


def test_amounts_of_events_are_summed() -> None:
    assert build_sent(3, 4).sum_amounts("Paid") == Amount(Wei(7), Epoch(2))
    assert build_sent().sum_amounts("Paid") is None


def test_an_amount_over_any_supply_is_nonsense() -> None:
    assert read_wei(UINT128_MAX) == UINT128_MAX
    with pytest.raises(ChainUnreachable, match="over the token's supply"):
        read_wei(UINT128_MAX + 1)
