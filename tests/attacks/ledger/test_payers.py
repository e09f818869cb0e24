"""Peers with a funded channel against a provider: they stall, cheat and never pay."""

import os
from typing import Any

import trio

from p2p_modelex.node.exchange import build_request
from p2p_modelex.records import codec
from p2p_modelex.records.job import Cancel, Pay, Refused, Started
from p2p_modelex.records.signers import EvmSigner
from p2p_modelex.records.voucher import SignedVoucher
from p2p_modelex.units import AI, UINT128_MAX
from tests.attacks.adversary import Adversary, adversaries, drain, keep_on, receive
from tests.attacks.harness import Attack, Siege
from tests.attacks.world import ATTACKERS
from tests.node.world import MODEL, PRICE

SECTION = "Attacks on jobs and payment"
LONG = build_request("hello", model=MODEL, max_tokens=256)
WINDOW = 64 * PRICE
"""What a job may come to owe: the offer's credit, the default."""


def assert_no_money_lost(attack: Attack, payers: int) -> None:
    """Nobody who never paid has taken more than one window."""
    debt = int(attack.statistics["debt"])
    assert debt <= payers * WINDOW, f"{debt / WINDOW:.1f} windows of {payers} payers are unpaid"
    attack.note += f" unpaid {debt / PRICE:.0f} tokens"


async def test_start_and_never_pay(siege: Siege) -> None:
    """64 lanes at once, and again and again."""

    async def take(one: Adversary) -> None:
        lane = int.from_bytes(os.urandom(1), "big") % 64
        stream = await one.say(one.order(one.promise(lane=lane), LONG))
        await receive(stream)
        await drain(stream)

    async with (
        siege.attack(
            "Start and never pay", "2 funded payers take jobs on 64 lanes and pay nothing"
        ) as attack,
        adversaries(siege, 2, funded=ATTACKERS[:2]) as band,
    ):
        await keep_on(band, take, each=32)
    assert_no_money_lost(attack, 2)
    attack.assert_held(rss_mib=40, joined=0.9)


async def test_order_and_stall(siege: Siege) -> None:
    """After Order nothing is read and nothing is said."""

    async def stall(one: Adversary) -> None:
        await one.say(one.order(one.promise(lane=os.urandom(1)[0] % 64), LONG))
        await trio.sleep(30)

    async with (
        siege.attack("Order and stall", "2 funded payers order on 48 streams and freeze") as attack,
        adversaries(siege, 2, funded=ATTACKERS[2:4]) as band,
    ):
        await keep_on(band, stall, each=48)
    assert_no_money_lost(attack, 4)
    attack.assert_held(rss_mib=40, joined=0.9)


async def test_cancel_storm(siege: Siege) -> None:
    async def cancel(one: Adversary) -> None:
        order = one.order(one.promise(lane=os.urandom(1)[0] % 64), LONG)
        stream = await one.say(order, Cancel(order.job))
        await drain(stream)

    async with (
        siege.attack("Cancel storm", "2 funded payers cancel what they ordered at once") as attack,
        adversaries(siege, 2, funded=ATTACKERS[4:6]) as band,
    ):
        await keep_on(band, cancel, each=8)
    assert_no_money_lost(attack, 6)
    attack.assert_held(rss_mib=40, joined=0.9)


def _other_form(signed: SignedVoucher) -> SignedVoucher:
    """The same signature with the upper half of s: mathematically as good (EIP-2 forbids it)."""
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    raw = signed.signature
    s = (order - int.from_bytes(raw[32:64], "big")).to_bytes(32, "big")
    return SignedVoucher(signed.voucher, raw[:32] + s + bytes([55 - raw[64]]))


def bad_payments(one: Adversary) -> dict[str, SignedVoucher]:
    """Vouchers that must bring nothing, by what is wrong with them."""
    stranger = EvmSigner(os.urandom(32))
    return {
        "signed by another": one.promise(50 * PRICE, signer=stranger),
        "of another chain": one.promise(50 * PRICE, domain=os.urandom(32)),
        "of another channel": one.promise(50 * PRICE, channel=os.urandom(32)),
        "over the deposit": one.promise(10**6 * AI),
        "the largest number": one.promise(UINT128_MAX),
        "of another epoch": one.promise(50 * PRICE, epoch=1),
        "malleable": _other_form(one.promise(50 * PRICE)),
        "no point": SignedVoucher(one.promise(50 * PRICE).voucher, b"\xff" * 64 + b"\x1b"),
        "zeros": SignedVoucher(one.promise(50 * PRICE).voucher, bytes(65)),
    }


async def test_bad_vouchers(siege: Siege) -> None:
    """As the first voucher and as a payment: none is taken, and money stays as it was."""
    answers: list[Any] = []

    async def order(one: Adversary) -> None:
        for bad in bad_payments(one).values():
            answer = await receive(await one.say(one.order(bad, base=0)))
            assert isinstance(answer, Refused), answer
            answers.append(answer.code)

    async with (
        siege.attack(
            "Bad vouchers",
            "signed by another, of another chain, channel, lane or epoch, "
            "over the deposit, malleable, malformed",
        ) as attack,
        adversaries(siege, 2, funded=ATTACKERS[6:8]) as band,
    ):
        await keep_on(band, order)
    assert set(answers) <= {
        "bad_voucher",
        "no_channel",
        "channel_exhausted",
        "wrong_epoch",
        "busy",
        "lane_in_use",
    }
    assert_no_money_lost(attack, 6)
    attack.assert_held(rss_mib=24, joined=0.9)


async def test_bad_payments(siege: Siege) -> None:
    """In mid-job: vouchers that shrink, are of another lane, or as bad as the ones above."""

    async def pay(one: Adversary) -> None:
        bad = bad_payments(one)
        bad["of another lane"] = one.promise(50 * PRICE, lane=9)
        for number, wrong in enumerate(bad.values()):
            order = one.order(one.promise(lane=10 + number), LONG)
            stream = await one.say(order)
            if isinstance(await receive(stream), Started):
                await stream.send_frame(codec.encode(Pay(order.job, wrong)))
                heard = await drain(stream)
                assert not any(frame[1:2] == bytes([19]) for frame in heard)  # no receipt

    async with (
        siege.attack("Bad payments", "the same in the middle of a job") as attack,
        adversaries(siege, 2, funded=ATTACKERS[:2]) as band,
    ):
        await keep_on(band, pay)
    assert_no_money_lost(attack, 8)
    attack.assert_held(rss_mib=24, joined=0.9)
