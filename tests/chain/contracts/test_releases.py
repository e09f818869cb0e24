from p2p_modelex.chain.contracts.releases import ModelReleases, ReleaseDraft
from p2p_modelex.ids import Digest
from tests.chain.contracts.conftest import Place
from tests.chain.contracts.scenes import refused


def draft(version: str) -> ReleaseDraft:
    return ReleaseDraft(version, Digest(version.encode().ljust(32)), 2**40, "ipfs://w", "MIT")


async def test_releases_supersede_are_revoked_and_handed_over(place: Place) -> None:
    publisher, heir = await place.newcomer(), await place.newcomer()
    releases, others = ModelReleases(publisher), ModelReleases(heir)
    count = await releases.fetch_name_count()
    name = f"ada/sentiment-{count}"
    assert await others.fetch_publisher(name) is None
    with refused("NoSuchName"):
        await others.fetch_latest(name)
    await releases.publish(name, draft("1.0"))
    await releases.publish(name, draft("1.1"))
    latest = await others.fetch_latest(name)
    assert (latest.draft, latest.ordinal, latest.revoked) == (draft("1.1"), 1, False)
    assert await others.fetch_publisher(name) == publisher.account
    assert await others.fetch_names(count, 50) == (name,)
    with refused("OnlyPublisher"):
        await others.publish(name, draft("1.2"))
    with refused("VersionExists"):
        await releases.publish(name, draft("1.1"))

    sent = await releases.revoke(name, "1.1", "it memorised its data")
    assert sent.event("Revoked")["reason"] == "it memorised its data"
    assert (await others.fetch_latest(name)).draft.version == "1.0"
    assert (await others.fetch_release(name, "1.1")).revoked
    assert [each.revoked for each in await others.fetch_releases(name, 0, 50)] == [False, True]
    assert await others.fetch_release_count(name) == 2

    with refused("NotOffered"):
        await others.accept_handover(name)
    await releases.offer_handover(name, heir.account)
    await others.accept_handover(name)
    await others.publish(name, draft("2.0"))
    assert (await releases.fetch_latest(name)).draft.version == "2.0"
