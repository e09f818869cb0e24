from collections.abc import Sequence

import pytest

from p2p_modelex.chain.contracts.feed import ScoreFeed, Settings
from p2p_modelex.chain.contracts.network import Network
from p2p_modelex.chain.contracts.oracle import OracleHub
from p2p_modelex.errors import WrongNetwork
from p2p_modelex.ids import Address, Digest
from p2p_modelex.records.report import NO_COMPLETION, Report, SignedReport, sign
from p2p_modelex.records.signers import EvmSigner
from p2p_modelex.units import Epoch, Wei
from tests.chain.contracts.conftest import Place
from tests.chain.contracts.scenes import refused
from tests.chain.worlds import new_key

HEARTBEAT_S = 600
SETTINGS = Settings(Digest(b"\5" * 32), "sentiment", 2, HEARTBEAT_S, 5)


async def make_feed(network: Network, keys: Sequence[EvmSigner], quorum: int) -> ScoreFeed:
    signers = [key.address for key in keys]
    feed, sent = await ScoreFeed.establish(network, SETTINGS, signers, quorum, network.account)
    assert sent.gas_used > 0
    return feed


async def sign_all(
    feed: ScoreFeed, keys: Sequence[EvmSigner], scores: Sequence[int]
) -> list[SignedReport]:
    now = (await feed.network.fetch_head()).timestamp
    domain = OracleHub(feed.network).domain
    return [
        sign(Report(SETTINGS.subject, score, NO_COMPLETION, Wei(0), Epoch(0), now), domain, key)
        for key, score in zip(keys, scores, strict=True)
    ]


async def test_a_feed_is_kept_up_to_date_by_its_quorum(place: Place) -> None:
    owner, keys = await place.newcomer(), [new_key() for _ in range(3)]
    feed = await make_feed(owner, keys, 2)
    state = await feed.fetch_state()
    assert (state.settings, state.quorum) == (SETTINGS, 2)
    assert state.signers == tuple(sorted(key.address for key in keys))
    assert (state.is_stale, state.latest) == (True, None)
    assert await feed.fetch_rounds(5) == ()

    with refused("NoQuorum"):
        await feed.submit(await sign_all(feed, keys[:1], [10]))
    sent = await feed.submit(await sign_all(feed, keys, [10, -400, 30]))
    assert sent.event("RoundMade")["answer"] == 10
    state = await feed.fetch_state()
    assert not state.is_stale
    assert state.latest is not None
    assert (state.latest.number, state.latest.answer) == (1, 10)

    await place.pass_time(1)
    with refused("NotDue"):
        await feed.submit(await sign_all(feed, keys, [12, 12, 12]))
    await feed.submit(await sign_all(feed, keys, [15, 15, 15]))
    assert [each.answer for each in await feed.fetch_rounds(5)] == [15, 10]
    assert [each.number for each in await feed.fetch_rounds(1)] == [2]

    await place.pass_time(2 * HEARTBEAT_S + 1)
    assert (await feed.fetch_state()).is_stale


async def test_the_owner_changes_signers_and_hands_over(place: Place) -> None:
    owner, heir, keys = await place.newcomer(), await place.newcomer(), [new_key(), new_key()]
    feed = await make_feed(owner, keys[:1], 1)
    await feed.set_signers([keys[1].address], 1)
    with refused("NotASigner"):
        await feed.submit(await sign_all(feed, keys[:1], [1]))
    await feed.submit(await sign_all(feed, keys[1:], [1]))
    theirs = ScoreFeed(heir, feed.address)
    with refused("OwnableUnauthorizedAccount"):
        await theirs.set_signers([keys[0].address], 1)
    await feed.offer_ownership(heir.account)
    assert await feed.fetch_owner() == (owner.account, heir.account)
    await theirs.accept_ownership()
    await theirs.set_signers([keys[0].address], 1)


async def test_settings_that_make_no_feed_and_no_feed_at_all(place: Place) -> None:
    owner, key = await place.newcomer(), new_key()
    with refused("InvalidSigners"):
        await ScoreFeed.establish(owner, SETTINGS, [key.address, owner.account], 1, owner.account)
    with pytest.raises(WrongNetwork, match="there is no ScoreFeed at"):
        await ScoreFeed(owner, Address(b"\7" * 20)).fetch_state()
