"""Which providers' ratings are read from the chain, and what becomes of them."""

import pytest

from p2p_modelex.core import effects as fx
from p2p_modelex.core import ratings as module
from p2p_modelex.core.inputs import RatingsRead
from p2p_modelex.core.ratings import AGAIN_MS, FIRST_MS, READ_TIMER, RatingsPolicy, RatingWatch
from p2p_modelex.core.routing import rating_book
from p2p_modelex.core.routing.rating_book import RatingBook
from p2p_modelex.ids import Address, PeerId, public_key_of
from p2p_modelex.records.advertisement import Advertisement
from p2p_modelex.records.registry import Standing
from p2p_modelex.units import UnixMs
from tests.core.exchange.pair import NOW
from tests.core.mesh import PLAIN, Mesh, peer

EVALUATOR = Address(b"e" * 20)
OPERATOR = Address(PLAIN.accounts[0].ownership.operator)
AGAIN = fx.SetTimer(READ_TIMER, UnixMs(NOW + AGAIN_MS))


def watch(mesh: Mesh, *evaluators: Address) -> tuple[RatingWatch, RatingBook]:
    """All but the fifth are registered."""

    def get_standing(one: PeerId, _said: Advertisement) -> Standing:
        return Standing.UNREGISTERED if one == peer(5) else Standing.REGISTERED

    book = RatingBook()
    return RatingWatch(RatingsPolicy(evaluators), mesh, get_standing, book), book


def asked(watching: RatingWatch) -> list[PeerId]:
    read, again = watching.on_timer(NOW)
    assert again == AGAIN
    assert isinstance(read, fx.ReadRatings)
    assert read.evaluators == (EVALUATOR,)
    assert {operator for _, operator in read.nodes} == {OPERATOR}
    keys = {public_key_of(peer(number)): peer(number) for number in range(1, 8)}
    return [keys[key] for key, _ in read.nodes]


def test_who_believes_nobody_reads_nothing() -> None:
    watching, _ = watch(Mesh(3))
    assert watching.start(NOW) == []


def test_the_registered_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """RTE-49."""
    monkeypatch.setattr(module, "NODES_MAX", 3)
    watching, _ = watch(Mesh(7), EVALUATOR)
    assert watching.start(NOW) == [fx.SetTimer(READ_TIMER, UnixMs(NOW + FIRST_MS))]
    turns = [asked(watching) for _ in range(3)]
    expected = [[1, 2, 3], [4, 6, 7], [1, 2, 3]]
    assert turns == [[peer(number) for number in numbers] for numbers in expected]


def test_where_nobody_is_registered_it_is_tried_again() -> None:
    watching, _ = watch(Mesh(0), EVALUATOR)
    assert watching.on_timer(NOW) == [AGAIN]


def test_what_is_read_is_kept_and_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """RTE-49."""
    monkeypatch.setattr(rating_book, "PEERS_MAX", 2)
    watching, book = watch(Mesh(3), EVALUATOR)

    def read(*ratings: tuple[int, int | None]) -> list[int | None]:
        told = tuple((public_key_of(peer(number)), rating) for number, rating in ratings)
        watching.on_read(RatingsRead(told))
        return [book.get(peer(number)) for number in (1, 2, 3)]

    assert read((1, 9_000), (2, None)) == [9_000, None, None]
    assert read((2, 100), (3, 0)) == [None, 100, 0]  # the first is forgotten
    assert read((2, None)) == [None, None, 0]
