"""Closing a channel: when it may end, and what a finished one is called."""

import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime

import pytest
import trio

from p2p_modelex.chain.evm.transaction import Transaction, sign_transaction
from p2p_modelex.chain.memory import MemoryChain, MemoryLedger
from p2p_modelex.cli import money
from p2p_modelex.cli.text import local_time
from p2p_modelex.ids import Address, ChannelId, format_address
from p2p_modelex.limits import LANES_MAX
from p2p_modelex.node.home import Home
from p2p_modelex.node.settling import Books
from p2p_modelex.records import voucher
from p2p_modelex.records.channel import ChannelState
from p2p_modelex.records.rows import ChannelRow, DepositRow, MembershipRow, ReceivedVoucherRow
from p2p_modelex.records.voucher import Voucher
from p2p_modelex.store.memory import MemoryStore
from p2p_modelex.units import AI, Wei
from tests.cli.conftest import Modelex
from tests.core.farm.farms import FARM, PAYEE
from tests.node.world import DEPLOYMENT, make_keys

# Longer than a whole test run: the command compares with the machine's clock.
CHALLENGE_S = 3600
START = int(time.time())
OURS = make_keys(1).account.address


class Clock:
    """The chain's, which need not be the machine's; and the chain."""

    now = START
    ledger: MemoryLedger
    store: MemoryStore


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let the commands find books with one open channel of 5 AI."""
    clock, keys, store = Clock(), make_keys(1), MemoryStore()
    clock.store = store
    ledger = clock.ledger = MemoryLedger(DEPLOYMENT, now=lambda: clock.now, challenge_s=CHALLENGE_S)
    chain = MemoryChain(ledger, keys.account.address)
    ledger.mint(keys.account.address, Wei(9 * AI))

    async def open_one() -> None:
        payee = Address(b"\x07" * 20)
        state = await chain.open_channel(payee, Wei(5 * AI), keys.account.address)
        async with store:
            await store.apply([ChannelRow(state, is_payer=True, peer=None)])

    trio.run(open_one)

    @asynccontextmanager
    async def open_books(home: Home) -> AsyncGenerator[Books, None]:
        yield Books(chain, store, DEPLOYMENT, keys)

    monkeypatch.setattr(money, "_open", open_books)
    return clock


def test_a_channel_is_closed_in_two_steps(modelex: Modelex, clock: Clock) -> None:
    [shown] = json.loads(modelex("channels", "--json").out)
    assert shown["state"] == "open"
    closes_at = START + CHALLENGE_S
    said = modelex("close", shown["channel"])
    moment = f"{local_time(closes_at)} (unix time {closes_at})"
    assert (said.code, said.out) == (0, f"closing; run this again after {moment}\n")
    assert f"\n  closing until {local_time(closes_at)}\n" in modelex("channels").out

    said = modelex("close", shown["channel"])
    said.check_error(12, f"the challenge period runs until {local_time(closes_at)}")

    clock.now = closes_at
    assert modelex("close", shown["channel"]).out == "closed; 5 AI came back\n"
    [shown] = json.loads(modelex("channels", "--json").out)
    assert (shown["state"], shown["closes_at"]) == ("closed", closes_at)
    assert "closing" not in modelex("channels").out
    said = modelex("close", shown["channel"])
    assert (said.code, said.out) == (0, "it is closed: nothing is left in it\n")


def test_after_a_split_amounts_are_those_of_now_and_say_so(modelex: Modelex, clock: Clock) -> None:
    assert "tokens   4 AI\n" in modelex("balance").out
    clock.ledger.announce_split(notice=0, pause=1)
    clock.ledger.pass_blocks(1)
    assert "tokens   8 AI (split epoch 1)\n" in modelex("balance").out
    shown = json.loads(modelex("balance", "--json").out)
    assert (shown["wei"], shown["split_epoch"]) == (str(8 * AI), 1)
    assert "  deposit 10 AI, claimed 0 AI, vouchers 0 AI, debt 0 AI (split epoch 1)\n" in (
        modelex("channels").out
    )
    [shown] = json.loads(modelex("channels", "--json").out)
    assert (shown["deposit_wei"], shown["split_epoch"]) == (str(10 * AI), 1)
    modelex("close", shown["channel"])
    clock.now += CHALLENGE_S
    assert modelex("close", shown["channel"]).out == "closed; 10 AI (split epoch 1) came back\n"


@pytest.mark.parametrize("channel", [None, ChannelId(b"\x08" * 32)])
def test_a_deposit_in_doubt_is_among_the_channels(
    modelex: Modelex, clock: Clock, channel: ChannelId | None
) -> None:
    payee, key = Address(b"\x07" * 20), make_keys(1).account
    sent = sign_transaction(Transaction(31337, 3, 1, 2, 21_000, payee, 0, b""), key)
    ended = DepositRow(Address(b"\x09" * 20), None, Wei(AI), 0, ())

    async def keep() -> None:
        await clock.store.apply([DepositRow(payee, channel, Wei(2 * AI), 0, (sent.raw,)), ended])

    trio.run(keep)
    said = modelex("channels").out
    name = f"0x{channel.hex()}" if channel else "a new channel"
    assert f"\n{name}\n  payer with {format_address(payee)}, in doubt: a deposit of 2 AI\n" in said
    assert f"\n  transaction 0x{sent.hash.hex()}, nonce 3 of the account\n" in said
    [_, shown] = json.loads(modelex("channels", "--json").out)
    assert (shown["state"], shown["deposit_wei"]) == ("in doubt", str(2 * AI))
    assert (shown["channel"] is None) == (channel is None)
    assert (shown["transaction"], shown["nonce"]) == (f"0x{sent.hash.hex()}", 3)


def test_nothing_to_settle_is_told_to_people_and_programs(modelex: Modelex, clock: Clock) -> None:
    assert modelex("settle").out == "there is nothing to redeem\n"
    nothing = {"settled": [], "paid_out_wei": "0", "split_epoch": 0}
    assert json.loads(modelex("settle", "--json").out) == nothing


def test_a_period_that_is_over_is_not_called_running(modelex: Modelex, clock: Clock) -> None:
    clock.now = START - 2 * CHALLENGE_S
    [shown] = json.loads(modelex("channels", "--json").out)
    modelex("close", shown["channel"])
    assert "\n  could be closed since " in modelex("channels").out


def open_to_us(clock: Clock, promised: int, payee: Address = OURS, lane: int = 0) -> str:
    """Another's channel of 5 AI, of which this home holds one voucher; returns its name."""
    payer = make_keys(2).account
    clock.ledger.mint(payer.address, Wei(5 * AI))

    async def open_one() -> ChannelState:
        chain = MemoryChain(clock.ledger, payer.address)
        state = await chain.open_channel(payee, Wei(5 * AI), payer.address)
        promise = Voucher(state.channel, lane, Wei(promised), 0)
        signed = voucher.sign(promise, DEPLOYMENT.channels_domain, payer)
        async with clock.store as store:
            rows = [ChannelRow(state, is_payer=False, peer=None)]
            await store.apply([*rows, ReceivedVoucherRow(signed, Wei(promised))])
        return state

    return "0x" + trio.run(open_one).channel.hex()


def test_the_payee_closes_at_once_and_loses_no_voucher(modelex: Modelex, clock: Clock) -> None:
    name = open_to_us(clock, 2 * AI)
    assert modelex("close", name).out == "closed; 2 AI redeemed, of 2 AI in all\n"
    assert "tokens   6 AI\n" in modelex("balance").out
    assert clock.ledger.balance(make_keys(2).account.address) == 3 * AI
    said = modelex("close", name)
    assert (said.code, said.out) == (0, "it is closed: nothing is left in it\n")


def test_all_accounts_that_are_owed_something_are_settled(modelex: Modelex, clock: Clock) -> None:
    farm, index = Address(PAYEE), 3
    admitted = FARM.admit(make_keys(1).peer.public_key, payee=farm, index=index)

    async def join() -> None:
        async with clock.store as store:
            await store.apply([MembershipRow(FARM.public_key, 1, admitted)])

    trio.run(join)
    open_to_us(clock, 2 * AI)
    open_to_us(clock, 3 * AI, farm, index * LANES_MAX)
    shown = json.loads(modelex("settle", "--json").out)
    assert {one["account"]: one["credited_wei"] for one in shown["settled"]} == {
        format_address(OURS): str(2 * AI),
        format_address(farm): str(3 * AI),
    }
    assert clock.ledger.balance(farm) == 3 * AI
    assert modelex("settle").out == "there is nothing to redeem\n"


def test_what_a_split_held_up_is_paid_out_by_the_next_settlement(
    modelex: Modelex, clock: Clock
) -> None:
    name = open_to_us(clock, 2 * AI)
    clock.ledger.announce_split(notice=0, pause=9)
    said = modelex("close", name)
    assert (said.code, "TransfersPaused" in said.err) == (12, True)
    shown = {each["channel"]: each for each in json.loads(modelex("channels", "--json").out)}
    assert (shown[name]["state"], shown[name]["claimed_wei"]) == ("open", str(2 * AI))
    assert "tokens   4 AI\n" in modelex("balance").out
    clock.ledger.pass_blocks(9)
    assert modelex("settle").out == (
        "paid out     4 AI (split epoch 1), which a split's pause had held up\n"
        "there is nothing to redeem\n"
    )
    assert "tokens   12 AI (split epoch 1)\n" in modelex("balance").out
    assert modelex("close", name).out == (
        "closed; 0 AI (split epoch 1) redeemed, of 4 AI (split epoch 1) in all\n"
    )


def test_a_moment_of_another_day_has_its_date() -> None:
    moment = datetime(2020, 2, 3, 4, 5, 6).astimezone()
    assert local_time(int(moment.timestamp())) == "04:05:06 on 2020-02-03"
    assert local_time(2**64 - 1) == f"unix time {2**64 - 1}"
