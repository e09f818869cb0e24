import pytest
from eth_hash.backends.pysha3 import keccak256 as keccak

from p2p_modelex.chain.contracts.prompts import NOTHING, PromptLibrary, TemplateDraft
from p2p_modelex.chain.contracts.token import Token
from p2p_modelex.errors import BadInput
from p2p_modelex.ids import Digest
from tests.chain.contracts.conftest import Place
from tests.chain.contracts.scenes import ai, refused, split


def draft(text: bytes, supersedes: Digest = NOTHING) -> TemplateDraft:
    return TemplateDraft(Digest(keccak(text)), ai(2), 64, "ipfs://x", NOTHING, supersedes)


async def test_a_template_is_published_used_and_paid_for(place: Place) -> None:
    creator, user = await place.newcomer(), await place.newcomer()
    library, shop = PromptLibrary(creator), PromptLibrary(user)
    before = await library.fetch_count()
    sent = await library.publish(draft(b"one"))
    template = Digest(sent.event("Published")["template"])
    found = await shop.fetch_template(template)
    assert (found.creator, found.version, found.fee, found.uses) == (creator.account, 1, ai(2), 0)
    assert (found.content, found.uri, found.deprecated) == (keccak(b"one"), "ipfs://x", False)
    assert found.max_completion_tokens == 64

    await library.set_fee(template, ai(3))
    with refused("WrongPayment"):
        await shop.use(template, ai(2))
    assert await shop.fetch_fee(template) == ai(3)
    used = await shop.use(template, ai(3), Digest(b"\5" * 32))
    assert used.event("Used")["ref"] == b"\5" * 32
    assert await library.fetch_earned(creator.account) == ai(3)
    assert await Token(user).fetch_balance(user.account) == ai(97)
    await shop.withdraw(creator.account)
    assert await Token(user).fetch_balance(creator.account) == ai(103)

    newer = Digest((await library.publish(draft(b"two", template))).event("Published")["template"])
    await library.deprecate(template)
    old, new = await library.fetch_page(before, 2)
    assert (old.id, old.superseded_by, old.deprecated, old.uses) == (template, newer, True, 1)
    assert (new.id, new.supersedes, new.version) == (newer, template, 2)
    with refused("OnlyCreator"):
        await shop.deprecate(template)
    with refused("NoSuchTemplate"):
        await shop.fetch_template(Digest(b"\7" * 32))


async def test_a_fee_comes_through_a_split(splitting: Place) -> None:
    creator = await splitting.newcomer()
    library = PromptLibrary(creator)
    template = Digest((await library.publish(draft(b"split"))).event("Published")["template"])
    await split(splitting)
    assert (await library.fetch_template(template)).fee == ai(4, 1)
    assert await library.fetch_fee(template) == ai(4, 1)
    with pytest.raises(BadInput, match="of split epoch 0, the token is in epoch 1"):
        await library.use(template, ai(2))
    await library.use(template, ai(4, 1))
    assert await library.fetch_earned(creator.account) == ai(4, 1)
