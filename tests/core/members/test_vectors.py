"""The vectors of protocols/members are what their builder builds, and hold."""

import json
from typing import Any

import pytest

from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.core.ledger.lines import Lines
from p2p_modelex.core.ledger.seat import Seat
from p2p_modelex.ids import ChannelId, PeerId
from p2p_modelex.records.rows import LoanRow
from p2p_modelex.units import Epoch, Wei
from tests.core.members.make_vectors import FILE, render

CHANNEL, FELLOW = ChannelId(b"c" * 32), PeerId(b"f" * 38)


def load(name: str) -> list[Any]:
    cases: list[dict[str, Any]] = json.loads(FILE.read_text())[name]
    return [pytest.param(case, id=case["name"]) for case in cases]


def read(case: dict[str, Any], wei: str, epoch: str) -> Amount:
    return Amount(Wei(int(case[wei])), Epoch(case[epoch]))


def test_vectors_are_what_their_builder_builds() -> None:
    assert FILE.read_text() == render()


@pytest.mark.parametrize("case", load("parts"))
def test_parts(case: dict[str, Any]) -> None:
    """MEM-5."""
    seat = Seat(1, case["weight"])
    assert seat.compute_share(int(case["deposit"])) == int(case["part"])


@pytest.mark.parametrize("case", load("lends"))
def test_lends(case: dict[str, Any]) -> None:
    lines = Lines()
    gave = LoanRow(CHANNEL, FELLOW, Wei(int(case["gaveBefore"])), Wei(0), case["gaveEpoch"])
    lines.restore((gave,))
    have, want = read(case, "have", "askEpoch"), read(case, "want", "askEpoch")
    spare = read(case, "spare", "spareEpoch")
    given, rows = lines.lend(CHANNEL, FELLOW, have, want, spare)
    assert given == read(case, "given", "givenEpoch")
    for row in rows:
        assert isinstance(row, LoanRow)
        assert (row.given, row.epoch) == (given.wei, given.epoch)


@pytest.mark.parametrize("case", load("takes"))
def test_takes(case: dict[str, Any]) -> None:
    lines = Lines()
    took = LoanRow(CHANNEL, FELLOW, Wei(0), Wei(int(case["tookBefore"])), case["tookEpoch"])
    lines.restore((took,))
    lines.take(CHANNEL, FELLOW, read(case, "told", "toldEpoch"))
    assert lines.get_taken(CHANNEL, FELLOW) == read(case, "taken", "takenEpoch")
