"""The ledger in memory keeps its books under any sequence of calls."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_modelex.chain.memory import MemoryChain, MemoryLedger
from p2p_modelex.errors import ChainUnreachable, TransactionFailed
from p2p_modelex.ids import ChannelId
from p2p_modelex.records import voucher as voucher_record
from p2p_modelex.records.channel import ChannelState, Claim
from p2p_modelex.records.voucher import Voucher
from p2p_modelex.units import Wei
from tests.chain.worlds import MEMORY_DEPLOYMENT, new_key

_KEYS = tuple(new_key() for _ in range(3))
_GENESIS = 1000

steps = st.lists(
    st.tuples(
        st.sampled_from(["open", "top_up", "redeem", "start", "finish", "transfer", "wait"]),
        st.integers(0, 2),
        st.integers(0, 2),
        st.integers(0, 1200),
    ),
    max_size=40,
)


@given(steps)
def test_money_is_conserved_and_nobody_is_paid_twice(
    script: list[tuple[str, int, int, int]],
) -> None:
    now = [1]
    ledger = MemoryLedger(MEMORY_DEPLOYMENT, now=lambda: now[0], challenge_s=10)
    for key in _KEYS:
        ledger.mint(key.address, Wei(_GENESIS))
    channels: list[ChannelState] = []
    for step in script:
        _take_steps(ledger, channels, now, [step])
        assert ledger.supply == _GENESIS * len(_KEYS)
        for opened in channels:
            state = ledger.channel(ChannelId(opened.channel))
            assert state is not None
            assert 0 <= state.claimed <= state.deposit


@given(steps, steps, steps)
def test_a_reorg_goes_back_to_what_was_and_tells_what_it_undid(
    before: list[tuple[str, int, int, int]],
    undone: list[tuple[str, int, int, int]],
    instead: list[tuple[str, int, int, int]],
) -> None:
    now = [1]
    ledger = MemoryLedger(MEMORY_DEPLOYMENT, now=lambda: now[0], challenge_s=10)
    for key in _KEYS:
        ledger.mint(key.address, Wei(_GENESIS))
    channels: list[ChannelState] = []
    _take_steps(ledger, channels, now, before)
    saved, shown, told = ledger.save(), _show(ledger), ledger.history.length
    for script in (undone, instead):
        _take_steps(ledger, list(channels), now, script)
        ledger.restore(saved)
        assert _show(ledger) == shown
    after = ledger.history.since(told)
    assert sum(event.undone for event in after) * 2 == len(after)
    again, fresh = ledger.save(), MemoryLedger(MEMORY_DEPLOYMENT, now=lambda: 1, challenge_s=10)
    fresh.restore(again)
    assert _show(fresh) == shown


def _show(ledger: MemoryLedger) -> tuple[object, ...]:
    saved = ledger.save()
    return saved.block, saved.tables[:5], ledger.supply


def _take_steps(
    ledger: MemoryLedger,
    channels: list[ChannelState],
    now: list[int],
    script: list[tuple[str, int, int, int]],
) -> None:
    for step in script:
        with suppress(TransactionFailed):
            _take_step(ledger, channels, now, *step)


def _take_step(
    ledger: MemoryLedger,
    channels: list[ChannelState],
    now: list[int],
    what: str,
    who: int,
    other: int,
    amount: int,
) -> None:
    payer, payee = _KEYS[who], _KEYS[other]
    if what == "open":
        channels.append(
            ledger.open_channel(payer.address, payee.address, Wei(amount), payer.address)
        )
    elif what == "transfer":
        ledger.transfer(payer.address, payee.address, Wei(amount))
    elif what == "wait":
        now[0] += amount % 12
    elif channels:
        terms = channels[amount % len(channels)].terms
        if what == "top_up":
            ledger.top_up(payer.address, terms, Wei(amount))
        elif what == "start":
            ledger.start_close(payer.address, terms)
        elif what == "finish":
            ledger.finish_close(terms)
        else:
            promise = Voucher(ledger.deployment.channel_id(terms), other, Wei(amount), 0)
            signed = voucher_record.sign(promise, MEMORY_DEPLOYMENT.channels_domain, payer)
            ledger.redeem([Claim(terms, signed)])


async def test_a_ledger_can_be_switched_off() -> None:
    ledger = MemoryLedger(MEMORY_DEPLOYMENT, now=lambda: 0, challenge_s=1)
    port = MemoryChain(ledger, _KEYS[0].address)
    ledger.unreachable = True
    with pytest.raises(ChainUnreachable):
        await port.check()
    ledger.unreachable = False
    await port.check()
