"""What every Chain does, real or in memory."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec
import pytest
import trio

from p2p_modelex.chain.abc import Chain, ChannelEvent
from p2p_modelex.errors import PaymentError, Reverted, TransactionFailed, WrongNetwork
from p2p_modelex.ids import Address, ChannelId, Digest, PublicKey, format_address
from p2p_modelex.limits import REDEMPTION_VOUCHERS_MAX
from p2p_modelex.records import voucher as voucher_record
from p2p_modelex.records.channel import PAYER_SIGNS, ChannelState, ChannelTerms, Claim
from p2p_modelex.records.registry import RegistrySection
from p2p_modelex.records.signers import EvmSigner
from p2p_modelex.records.voucher import SignedVoucher, Voucher
from p2p_modelex.units import AI, Wei
from tests.chain.worlds import CHALLENGE_S, FULL, World, authorize, new_key

_UNKNOWN = ChannelTerms(b"\7" * 20, b"\7" * 20, b"\7" * 20, b"\7" * 32)


def _claim(
    world: World, channel: ChannelState, signer: EvmSigner, amount: int, lane: int = 0
) -> Claim:
    promise = Voucher(channel.channel, lane, Wei(amount), 0)
    signed = voucher_record.sign(promise, world.deployment.channels_domain, signer)
    return Claim(channel.terms, signed)


async def _open(
    world: World, deposit: int = 10 * AI
) -> tuple[ChannelState, EvmSigner, Chain, Chain]:
    """Return a channel, its signer (a delegate), the payer's port and the payee's."""
    _, payer = await world.new_account()
    payee_key, payee = await world.new_account(Wei(0))
    delegate = new_key()
    channel = await payer.open_channel(payee_key.address, Wei(deposit), delegate.address)
    return channel, delegate, payer, payee


async def test_check_passes_on_the_right_network(world: World) -> None:
    _, port = await world.new_account()
    await port.check()
    assert port.deployment == world.deployment
    assert await port.fetch_epoch() == 0
    assert await port.fetch_gas_balance(port.account) > 0


async def test_every_port_sees_the_same_genesis_for_ever(world: World) -> None:
    _, one = await world.new_account()
    genesis = await one.fetch_genesis()
    assert len(genesis) == 32
    await one.transfer(new_key().address, Wei(1))
    _, other = await world.new_account()
    assert await other.fetch_genesis() == genesis


async def test_a_transfer_moves_exactly_its_amount(world: World) -> None:
    _, sender = await world.new_account(Wei(5 * AI))
    to = new_key().address
    transaction = await sender.transfer(to, Wei(2 * AI + 1))
    assert len(transaction) == 32
    assert await sender.fetch_balance(to) == 2 * AI + 1
    assert await sender.fetch_balance(sender.account) == 3 * AI - 1


async def test_more_than_there_is_cannot_be_sent(world: World) -> None:
    _, sender = await world.new_account(Wei(5))
    with pytest.raises(TransactionFailed) as caught:
        await sender.transfer(new_key().address, Wei(6))
    expected = f"ERC20InsufficientBalance(sender=0x{sender.account.hex()}, balance=5, needed=6)"
    assert expected in str(caught.value)
    assert await sender.fetch_balance(sender.account) == 5


async def test_an_opened_channel_is_as_asked(world: World) -> None:
    channel, delegate, payer, payee = await _open(world, 7)
    terms = ChannelTerms(payer.account, payee.account, delegate.address, channel.salt)
    name = world.deployment.channel_id(terms)
    assert (channel.channel, channel.terms) == (name, terms)
    assert (channel.deposit, channel.claimed, channel.epoch, channel.closes_at) == (7, 0, 0, 0)
    assert channel.is_open
    assert await payee.fetch_channel(channel.terms) == channel
    assert await payer.fetch_balance(payer.account) == 100 * AI - 7


async def test_two_channels_between_the_same_accounts_differ(world: World) -> None:
    _, payer = await world.new_account()
    payee = new_key().address
    one = await payer.open_channel(payee, Wei(1), payer.account)
    two = await payer.open_channel(payee, Wei(1), payer.account)
    assert one.channel != two.channel


async def test_an_opening_whose_answer_was_lost_is_not_done_twice(world: World) -> None:
    _, payer = await world.new_account()
    payee, salt = new_key().address, Digest(b"\5" * 32)
    one = await payer.open_channel(payee, Wei(AI), payer.account, salt)
    assert one.terms == ChannelTerms(payer.account, payee, payer.account, salt)
    assert one.channel == world.deployment.channel_id(one.terms)
    assert await payer.open_channel(payee, Wei(2 * AI), payer.account, salt) == one
    assert await payer.fetch_balance(payer.account) == 99 * AI
    other = await payer.open_channel(payee, Wei(AI), payer.account, Digest(b"\6" * 32))
    assert other.channel != one.channel


async def test_no_signer_means_the_payer(world: World) -> None:
    key, payer = await world.new_account()
    payee_key, payee = await world.new_account(Wei(0))
    channel = await payer.open_channel(payee_key.address, Wei(9), PAYER_SIGNS)
    assert channel.signer == PAYER_SIGNS
    assert channel.voucher_signer == payer.account
    assert (await payee.redeem([_claim(world, channel, key, 9)])).credited == (9,)


async def test_an_unknown_channel_is_none(world: World) -> None:
    _, port = await world.new_account()
    assert await port.fetch_channel(_UNKNOWN) is None
    assert await port.find_terms(world.deployment.channel_id(_UNKNOWN)) is None


async def test_lost_terms_are_found_in_the_log(world: World) -> None:
    await _open(world)
    channel, _, payer, _ = await _open(world)
    await payer.top_up(channel.terms, Wei(1))
    assert await payer.find_terms(ChannelId(channel.channel)) == channel.terms


@pytest.mark.parametrize("deposit", [0, 101 * AI], ids=["nothing", "too-much"])
async def test_a_bad_deposit_is_refused(world: World, deposit: int) -> None:
    _, payer = await world.new_account()
    name = "InvalidAmount" if deposit == 0 else "ERC20InsufficientBalance"
    with pytest.raises(TransactionFailed, match=name):
        await payer.open_channel(new_key().address, Wei(deposit), payer.account)
    assert await payer.fetch_balance(payer.account) == 100 * AI


async def test_the_contract_itself_is_no_payee(world: World) -> None:
    _, payer = await world.new_account()
    with pytest.raises(TransactionFailed, match="InvalidPayee"):
        await payer.open_channel(world.deployment.channels, Wei(1), payer.account)


async def test_vouchers_are_cumulative_on_each_lane(world: World) -> None:
    channel, signer, _, payee = await _open(world)
    first = [_claim(world, channel, signer, 3 * AI), _claim(world, channel, signer, AI, lane=9)]
    done = await payee.redeem(first)
    assert done.credited == (3 * AI, AI)
    later = [_claim(world, channel, signer, 5 * AI), first[0], first[1]]
    assert (await payee.redeem(later)).credited == (2 * AI, 0, 0)
    assert await payee.fetch_balance(payee.account) == 6 * AI
    state = await payee.fetch_channel(channel.terms)
    assert state is not None
    assert (state.claimed, state.deposit) == (6 * AI, 10 * AI)


Spoil = Callable[[SignedVoucher], SignedVoucher]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda v: msgspec.structs.replace(v, signature=bytes(64) + b"\x1b"),
        lambda v: msgspec.structs.replace(v, signature=v.signature[:64] + b"\x00"),
        lambda v: SignedVoucher(
            msgspec.structs.replace(v.voucher, amount=Wei(7 * AI)), v.signature
        ),
        lambda v: SignedVoucher(msgspec.structs.replace(v.voucher, lane=1), v.signature),
        lambda v: SignedVoucher(msgspec.structs.replace(v.voucher, epoch=1), v.signature),
    ],
    ids=["zero", "v", "amount", "lane", "epoch"],
)
async def test_a_bad_voucher_spoils_only_itself(world: World, spoil: Spoil) -> None:
    channel, signer, _, payee = await _open(world)
    good = _claim(world, channel, signer, AI)
    bad = Claim(channel.terms, spoil(good.signed))
    done = await payee.redeem([bad, good, _claim(world, channel, new_key(), 2 * AI)])
    assert done.credited == (0, AI, 0)
    assert await payee.fetch_balance(payee.account) == AI


@pytest.mark.parametrize("field", ["payer", "signer", "salt"])
async def test_a_voucher_counts_for_the_channel_of_its_terms_alone(
    world: World, field: str
) -> None:
    channel, signer, payer, payee = await _open(world)
    other = await payer.open_channel(payee.account, Wei(5 * AI), signer.address)
    good = _claim(world, channel, signer, AI)
    wrong = {"payer": payee.account, "signer": PAYER_SIGNS, "salt": other.salt}
    terms = msgspec.structs.replace(channel.terms, **{field: wrong[field]})
    assert (await payee.redeem([Claim(terms, good.signed), good])).credited == (0, AI)


async def test_one_transaction_pays_one_payee(world: World) -> None:
    channel, signer, payer, payee = await _open(world)
    other = await payer.open_channel(new_key().address, Wei(5 * AI), signer.address)
    batch = [_claim(world, one, signer, AI) for one in (channel, other)]
    with pytest.raises(PaymentError, match="pays one account"):
        await payee.redeem(batch)


async def test_a_promise_over_the_deposit_is_paid_as_far_as_it_reaches(world: World) -> None:
    channel, signer, payer, payee = await _open(world, 4)
    much = _claim(world, channel, signer, 9)
    assert (await payee.redeem([much])).credited == (4,)
    assert (await payee.redeem([much])).credited == (0,)
    topped = await payer.top_up(channel.terms, Wei(3))
    assert (topped.deposit, topped.claimed) == (7, 4)
    assert (await payee.redeem([much])).credited == (3,)
    assert await payee.fetch_balance(payee.account) == 7


async def test_one_transaction_redeems_channels_of_many_payers(world: World) -> None:
    payee_key, payee = await world.new_account(Wei(0))
    batch = []
    for amount in (1, 2, 3):
        key, payer = await world.new_account()
        channel = await payer.open_channel(payee_key.address, Wei(10), key.address)
        batch.append(_claim(world, channel, key, amount))
    assert (await payee.redeem(batch)).credited == (1, 2, 3)
    assert await payee.fetch_balance(payee.account) == 6


@pytest.mark.parametrize("size", [0, REDEMPTION_VOUCHERS_MAX + 1])
async def test_a_batch_is_bounded(world: World, size: int) -> None:
    _, port = await world.new_account()
    claim = Claim(_UNKNOWN, SignedVoucher(Voucher(bytes(32), 0, Wei(1), 0), bytes(65)))
    with pytest.raises(PaymentError):
        await port.redeem([claim] * size)


async def test_closing_waits_for_the_challenge_and_returns_the_rest(world: World) -> None:
    channel, signer, payer, payee = await _open(world)
    terms = channel.terms
    with pytest.raises(TransactionFailed, match="NotClosing"):
        await payer.finish_close(terms)
    closing = await payer.start_close(terms)
    assert not closing.is_open
    with pytest.raises(TransactionFailed, match="ChannelClosing"):
        await payer.start_close(terms)
    with pytest.raises(TransactionFailed, match="ChannelClosing"):
        await payer.top_up(terms, Wei(1))
    with pytest.raises(TransactionFailed, match="ChallengePeriodRunning"):
        await payer.finish_close(terms)
    late = _claim(world, channel, signer, 4 * AI)
    assert (await payee.redeem([late])).credited == (4 * AI,)
    await world.pass_time(CHALLENGE_S + 1)
    closed = await payer.finish_close(terms)
    assert closed.deposit == closed.claimed == 4 * AI
    assert not closed.is_open
    assert await payer.fetch_balance(payer.account) == 96 * AI
    assert (await payee.redeem([_claim(world, channel, signer, 5 * AI)])).credited == (0,)
    with pytest.raises(TransactionFailed, match="ChannelClosed"):
        await payer.finish_close(terms)


async def test_only_the_payer_starts_a_close(world: World) -> None:
    channel, _, _, payee = await _open(world)
    with pytest.raises(TransactionFailed, match="OnlyPayer"):
        await payee.start_close(channel.terms)


async def test_the_payee_closes_at_once_and_the_rest_returns(world: World) -> None:
    channel, signer, payer, payee = await _open(world)
    terms = channel.terms
    with pytest.raises(Reverted, match="OnlyPayee") as caught:
        await payer.close_as_payee(terms)
    assert caught.value.arguments["caller"] == format_address(payer.account)
    assert (await payee.redeem([_claim(world, channel, signer, 4 * AI)])).credited == (4 * AI,)
    assert await payee.pay_out(payee.account) == 0, "redeeming has paid"
    closed = await payee.close_as_payee(terms)
    assert closed.deposit == closed.claimed == 4 * AI
    assert not closed.is_open
    assert await payer.fetch_channel(terms) == closed
    assert await payer.fetch_balance(payer.account) == 96 * AI
    assert (await payee.redeem([_claim(world, channel, signer, 5 * AI)])).credited == (0,)
    for attempt in (payee.close_as_payee(terms), payer.start_close(terms)):
        with pytest.raises(TransactionFailed, match="ChannelClosed"):
            await attempt


async def test_the_payee_need_not_wait_for_the_end_of_a_challenge_period(world: World) -> None:
    channel, _, payer, payee = await _open(world)
    closing = await payer.start_close(channel.terms)
    closed = await payee.close_as_payee(channel.terms)
    assert (closed.deposit, closed.closes_at) == (0, closing.closes_at)
    assert await payer.fetch_balance(payer.account) == FULL


async def test_what_is_not_there_cannot_be_closed_or_topped_up(world: World) -> None:
    _, port = await world.new_account()
    for attempt in (
        port.start_close(_UNKNOWN),
        port.finish_close(_UNKNOWN),
        port.close_as_payee(_UNKNOWN),
        port.top_up(_UNKNOWN, Wei(1)),
    ):
        with pytest.raises(TransactionFailed, match="NoSuchChannel"):
            await attempt


async def test_registering_anchors_and_anchors_again(world: World) -> None:
    key, port = await world.new_account()
    peer = PublicKey(key.address.ljust(32, b"\1"))
    assert await port.fetch_registration(peer) is None
    await port.register(peer, Digest(b"\5" * 32), 10, "https://example.org")
    entry = await port.fetch_registration(peer)
    assert entry is not None
    assert (entry.operator, entry.digest, entry.sequence) == (port.account, b"\5" * 32, 10)
    assert (entry.peer, entry.uri) == (peer, "https://example.org")
    assert entry.section is RegistrySection.PUBLIC
    await port.register(peer, Digest(b"\6" * 32), 11, "")
    assert await port.fetch_registration(peer) == replace(
        entry, digest=Digest(b"\6" * 32), sequence=11, uri=""
    )
    with pytest.raises(TransactionFailed, match=r"StaleSequence\(sequence=11, current=11\)"):
        await port.register(peer, Digest(b"\6" * 32), 11, "")


async def test_each_operator_has_its_own_entry_for_a_peer(world: World) -> None:
    key, port = await world.new_account()
    _, squatter = await world.new_account()
    peer = PublicKey(key.address.ljust(32, b"\1"))
    await squatter.register(peer, Digest(b"\6" * 32), 99, "squat")
    assert await port.fetch_registration(peer) is None
    found = await port.fetch_registration(peer, squatter.account)
    assert found is not None
    assert found.uri == "squat"


async def test_a_registration_has_bounds(world: World) -> None:
    key, port = await world.new_account()
    peer = PublicKey(key.address.ljust(32, b"\1"))
    with pytest.raises(TransactionFailed, match="UriTooLong"):
        await port.register(peer, Digest(bytes(32)), 1, "x" * 3000)
    with pytest.raises(TransactionFailed, match="InvalidPeer"):
        await port.register(PublicKey(bytes(32)), Digest(bytes(32)), 1, "")


async def test_the_payee_sees_its_channels_life_and_no_other(world: World) -> None:
    await _open(world)
    channel, signer, payer, payee = await _open(world)
    name = ChannelId(channel.channel)
    await payer.top_up(channel.terms, Wei(1))
    await payee.redeem([_claim(world, channel, signer, 1)])
    await payer.start_close(channel.terms)
    await world.pass_time(CHALLENGE_S + 1)
    await payer.finish_close(channel.terms)
    for port in (payee, payer):
        seen = await _collect(port, 5)
        assert [event.kind for event in seen] == [
            "opened",
            "topped_up",
            "claimed",
            "close_started",
            "closed",
        ]
        assert {event.channel for event in seen} == {name}
        assert not any(event.undone for event in seen)
        later = await _collect(port, 4, seen[1].block, [name])
        assert [event.kind for event in later] == [event.kind for event in seen[1:]]


async def test_events_come_while_one_waits_for_them(world: World) -> None:
    key, payer = await world.new_account()
    kinds: list[str] = []

    async def watch() -> None:
        kinds.extend(event.kind for event in await _collect(payer, 1))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        for _ in range(5):
            await trio.lowlevel.checkpoint()  # let it begin to wait, where waiting is possible
        await payer.open_channel(new_key().address, Wei(1), key.address)
    assert kinds == ["opened"]


async def _collect(
    port: Chain, count: int, since: int = 0, known: Sequence[ChannelId] = ()
) -> list[ChannelEvent]:
    found: list[ChannelEvent] = []
    events = port.channel_events(since, known)
    with trio.fail_after(10):
        async for event in events:
            found.append(event)
            if len(found) == count:
                break
    await events.aclose()
    return found


async def test_another_network_is_told_apart(world: World) -> None:
    wrong = replace(world.deployment, channels=Address(b"\7" * 20))
    key, _ = await world.new_account()
    async with world.port(key, wrong) as port:
        with pytest.raises(WrongNetwork) as caught:
            await port.check()
    assert caught.value.hint


async def test_a_signed_transfer_moves_money_once_and_anybody_brings_it(world: World) -> None:
    key, payer = await world.new_account(Wei(5 * AI))
    _, bringer = await world.new_account(Wei(0))
    to = new_key().address
    transfer, signature = authorize(world, key, to, 2 * AI)
    assert not await bringer.fetch_authorization_used(payer.account, transfer.nonce)
    assert len(await bringer.transfer_authorized(transfer, signature)) == 32
    assert await bringer.fetch_authorization_used(payer.account, transfer.nonce)
    assert await bringer.fetch_balance(to) == 2 * AI
    assert await bringer.fetch_balance(payer.account) == 3 * AI
    with pytest.raises(Reverted) as caught:
        await bringer.transfer_authorized(transfer, signature)
    assert caught.value.name == "AuthorizationUsedAlready"


async def test_what_a_signed_transfer_is_refused_for(world: World) -> None:
    key, _ = await world.new_account(Wei(5))
    _, bringer = await world.new_account(Wei(0))
    to = new_key().address
    late = authorize(world, key, to, 1, before=1)
    much = authorize(world, key, to, 6)
    early = authorize(world, key, to, 1, epoch=1)
    signed = authorize(world, key, to, 1)
    for transfer, signature, name in (
        (*late, "AuthorizationNotValidNow"),
        (*much, "ERC20InsufficientBalance"),
        (*early, "NotSignedBy"),
        (replace(signed[0], to=key.address), signed[1], "NotSignedBy"),
        (signed[0], bytes(65), "NotSignedBy"),
    ):
        with pytest.raises(Reverted) as caught:
            await bringer.transfer_authorized(transfer, signature)
        assert caught.value.name == name
        assert not await bringer.fetch_authorization_used(key.address, transfer.nonce)
    await bringer.transfer_authorized(*signed)
