"""Deposits in each of their ways, on a real chain; the port has the one by transferAndCall."""

import pytest

from p2p_modelex.chain.abc import Deployment
from p2p_modelex.chain.contracts.channels import Channels
from p2p_modelex.chain.contracts.contract import Sent
from p2p_modelex.chain.contracts.network import Network
from p2p_modelex.chain.contracts.token import Token
from p2p_modelex.errors import BadInput
from p2p_modelex.ids import ChannelId, Digest
from p2p_modelex.records.channel import PAYER_SIGNS, ChannelTerms
from p2p_modelex.records.deposit import encode_opening, encode_top_up
from p2p_modelex.units import AI, Wei
from tests.chain.contracts.conftest import Place
from tests.chain.contracts.scenes import ai, refused, split
from tests.chain.worlds import new_key

VALID_S = 60


def make_terms(payer: Network, salt: int) -> ChannelTerms:
    payee = new_key().address
    return ChannelTerms(payer.account, payee, PAYER_SIGNS, Digest(bytes([salt]) * 32))


def opened(sent: Sent, deployment: Deployment, terms: ChannelTerms, wei: int) -> ChannelId:
    """It opened just that channel."""
    said = sent.event("Opened")
    channel = deployment.channel_id(terms)
    assert (said["channel"], said["deposit"], said["signer"]) == (channel, wei, "0x" + "00" * 20)
    return channel


async def test_by_approve_and_by_permit(place: Place) -> None:
    payer = await place.newcomer()
    channels, token = Channels(payer), Token(payer)
    first, second = make_terms(payer, 1), make_terms(payer, 2)
    with refused("ERC20InsufficientAllowance"):
        await channels.deposit(encode_opening(first), ai(2))
    await token.approve(channels.address, ai(5))
    channel = opened(
        await channels.deposit(encode_opening(first), ai(2)), place.deployment, first, 2 * AI
    )
    added = await channels.deposit(encode_top_up(channel), ai(1))
    assert added.event("ToppedUp") == {"channel": channel, "amount": AI}
    assert await token.fetch_allowance(payer.account, channels.address) == ai(2)

    permit, signature = await token.sign_permit(channels.address, ai(3), VALID_S)
    sent = await channels.deposit_with_permit(encode_opening(second), permit, signature)
    opened(sent, place.deployment, second, 3 * AI)
    assert await token.fetch_balance(payer.account) == ai(94)


async def test_a_payer_without_gas_signs_and_anybody_brings_it(place: Place) -> None:
    payer, relayer = await place.newcomer(), await place.newcomer(Wei(0))
    terms = make_terms(payer, 3)
    signed, signature = await Channels(payer).sign_deposit(encode_opening(terms), ai(4), VALID_S)
    sent = await Channels(relayer).bring_deposit(signed, signature)
    channel = opened(sent, place.deployment, terms, 4 * AI)
    with refused("AuthorizationUsedAlready"):
        await Channels(relayer).bring_deposit(signed, signature)

    more = [
        await Channels(payer).sign_deposit(encode_top_up(channel), ai(1), VALID_S) for _ in range(3)
    ]
    for each in more[:2]:
        assert (await Channels(relayer).bring_deposit(*each)).event("ToppedUp")["amount"] == AI
    other, _ = await Channels(payer).sign_deposit(encode_top_up(channel), ai(2), VALID_S)
    with refused("NotSignedBy"):
        await Channels(relayer).bring_deposit(other, more[2][1])
    await place.pass_time(VALID_S + 1)
    with refused("AuthorizationNotValidNow"):
        await Channels(relayer).bring_deposit(*more[2])
    assert await Token(payer).fetch_balance(payer.account) == ai(94)


async def test_what_was_signed_before_a_split_deposits_its_worth(splitting: Place) -> None:
    payer, relayer = await splitting.newcomer(), await splitting.newcomer(Wei(0))
    terms = make_terms(payer, 4)
    form = encode_opening(terms)
    signed = await Channels(payer).sign_deposit(form, ai(4), VALID_S)
    permit = await Token(payer).sign_permit(Channels(payer).address, ai(3), VALID_S)
    await split(splitting)
    sent = await Channels(relayer).bring_deposit(*signed)
    opened(sent, splitting.deployment, terms, 8 * AI)
    with pytest.raises(BadInput, match="the amount is of split epoch 0"):
        await Channels(payer).deposit_with_permit(form, *permit)
