from dataclasses import replace
from typing import Any

import pytest

from p2p_modelex.chain.contracts.ratings import EVALUATORS_MAX, Ratings, Scores, Summary
from p2p_modelex.errors import BadInput
from p2p_modelex.ids import Address, Digest, PublicKey
from p2p_modelex.records import ownership as ownership_record
from p2p_modelex.records import receipt as receipt_record
from p2p_modelex.records.ownership import Ownership
from p2p_modelex.records.receipt import Finish, Receipt, SignedReceipt
from p2p_modelex.records.signers import EvmSigner
from p2p_modelex.units import Wei
from tests.chain.contracts.conftest import Place, refused
from tests.chain.contracts.test_registry import register
from tests.chain.worlds import new_key

EVIDENCE, RECEIPT = Digest(b"\1" * 32), Digest(b"\2" * 32)
GOOD, BAD = Scores(9_000, 8_000, 10_000), Scores(1_000, 0, 500)


async def test_readers_choose_whom_they_believe(place: Place) -> None:
    node, one, other = [await place.newcomer() for _ in range(3)]
    peer = await register(node)
    about = (peer, node.account)
    ratings = Ratings(await place.reader())
    assert await ratings.fetch_rating(*about, one.account) is None
    assert await ratings.summarise(*about, [one.account]) == Summary(0, Scores(0, 0, 0))

    sent = await Ratings(one).rate(*about, BAD, EVIDENCE, RECEIPT)
    assert (sent.event("Rated")["evidence"], sent.event("Rated")["receipt"]) == (EVIDENCE, RECEIPT)
    await Ratings(one).rate(*about, GOOD, EVIDENCE, RECEIPT)  # in place of the first
    await Ratings(other).rate(*about, BAD, EVIDENCE, RECEIPT)
    rating = await ratings.fetch_rating(*about, one.account)
    assert rating is not None
    assert (rating.evaluator, rating.scores) == (one.account, GOOD)

    assert await ratings.summarise(*about, [one.account, one.account]) == Summary(1, GOOD)
    both = [other.account, one.account]  # in any order
    assert await ratings.summarise(*about, both) == Summary(2, Scores(5_000, 4_000, 5_250))
    later = rating.rated_at + 1000
    assert (await ratings.summarise(*about, both, since=later)).count == 0

    assert await ratings.fetch_count(*about) == 2
    listed = await ratings.fetch_ratings(*about, 0, 50)
    assert {rating.evaluator for rating in listed} == {one.account, other.account}
    await Ratings(one).retract(*about)
    assert [r.evaluator for r in await ratings.fetch_ratings(*about, 0, 50)] == [other.account]


async def test_refusals_name_what_is_wrong(place: Place) -> None:
    node, evaluator = await place.newcomer(), await place.newcomer()
    peer = await register(node)
    ratings = Ratings(evaluator)
    await refused("SelfRating", Ratings(node).rate(peer, node.account, GOOD, EVIDENCE, RECEIPT))
    await refused("NotRated", ratings.retract(peer, node.account))
    nobody = ratings.rate(peer, evaluator.account, GOOD, EVIDENCE, RECEIPT)
    await refused("NoEntry", nobody)
    too_high = ratings.rate(peer, node.account, Scores(0, 0, 10_001), EVIDENCE, RECEIPT)
    error = await refused("ScoreTooHigh", too_high)
    assert error.arguments == {"score": 10_001, "limit": 10_000}
    many = [Address(number.to_bytes(20, "big")) for number in range(EVALUATORS_MAX + 1)]
    assert (await ratings.summarise(peer, node.account, many[:-1])).count == 0
    with pytest.raises(BadInput, match="256 evaluators at most"):
        await ratings.summarise(peer, node.account, many)


async def test_who_signs_for_a_node_is_barred(place: Place) -> None:
    operator, delegate = await place.new_account(), await place.new_account()
    node, friend = await place.open(operator[0]), await place.open(delegate[0])
    peer = await register(node)
    await Ratings(friend).rate(peer, node.account, GOOD, EVIDENCE, RECEIPT)
    domain = place.deployment.registry_domain
    statement = Ownership(peer, node.account, friend.account, 2**63)
    proof = ownership_record.sign(statement, domain, operator[0])
    ratings = Ratings(await place.newcomer())
    await ratings.bar(proof, sign_receipt(peer, domain, delegate[0]))
    assert await ratings.is_barred(peer, node.account, friend.account)
    assert await ratings.fetch_count(peer, node.account) == 0
    await refused("SelfRating", Ratings(friend).rate(peer, node.account, GOOD, EVIDENCE, RECEIPT))


def sign_receipt(peer: PublicKey, domain: Digest, delegate: EvmSigner) -> SignedReceipt:
    digests: dict[str, Any] = dict.fromkeys(
        ("request", "completion", "weights", "engine", "channel"), bytes(32)
    )
    job = Receipt(
        job=bytes(16),
        peer=peer,
        prompt_tokens=1,
        completion_tokens=2,
        price=Wei(3),
        epoch=0,
        lane=0,
        finished_at=4,
        finish=Finish.STOP,
        **digests,
    )
    return receipt_record.sign(job, domain, delegate)


async def test_a_node_reads_the_ratings_of_many_at_once(place: Place) -> None:
    """As the port of nodes does, in memory and on chain alike."""
    node, one, other, third = [await place.newcomer() for _ in range(4)]
    about = (await register(node), node.account)
    nobody = (PublicKey(b"\7" * 32), node.account)
    await Ratings(one).rate(*about, GOOD, EVIDENCE, RECEIPT)
    await Ratings(other).rate(*about, BAD, EVIDENCE, RECEIPT)
    await Ratings(third).rate(*about, BAD, EVIDENCE, RECEIPT)
    async with place.port(new_key(), place.deployment) as port:
        believed = [one.account, other.account, one.account]
        assert await port.fetch_ratings([about, nobody], believed) == (4_750, None)
        assert await port.fetch_ratings([about], [*believed, third.account]) == (500,)
        assert await port.fetch_ratings([about], [one.account]) == (9_000,)
        assert await port.fetch_ratings([], [one.account]) == ()
    async with place.port(new_key(), replace(place.deployment, ratings=None)) as port:
        assert await port.fetch_ratings([about], [one.account]) == (None,)
