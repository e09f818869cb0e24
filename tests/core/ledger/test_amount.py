import pytest

from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.errors import BadInput
from p2p_modelex.units import AI, Epoch, Wei


def test_an_amount_doubles_with_each_epoch() -> None:
    amount = Amount(Wei(3), Epoch(1))
    assert amount.rescale(Epoch(1)) == amount
    assert amount.rescale(Epoch(4)) == Amount(Wei(24), Epoch(4))


def test_an_amount_has_no_equal_in_an_earlier_epoch() -> None:
    with pytest.raises(BadInput, match="epoch 1 is not of epoch 0"):
        Amount(Wei(3), Epoch(1)).rescale(Epoch(0))


def test_an_amount_says_its_epoch_where_there_was_a_split() -> None:
    assert str(Amount(Wei(AI // 4), Epoch(0))) == "0.25 AI"
    assert str(Amount(Wei(AI // 4), Epoch(2))) == "0.25 AI of epoch 2"
