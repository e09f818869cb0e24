"""The reckoning: both ends' stores against each other, and both against the chain."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

import trio

from p2p_modelex.chain.devnet import advance_time
from p2p_modelex.chain.evm.port import EvmChain
from p2p_modelex.core.exchange.verification import verify_receipt_row
from p2p_modelex.ids import ChannelId, JobId
from p2p_modelex.node.driver import wall_clock
from p2p_modelex.node.settling import settle_home
from p2p_modelex.records.channel import ChannelTerms
from p2p_modelex.records.rows import (
    ChannelRow,
    IssuedVoucherRow,
    JobRow,
    ReceiptRow,
    ReceivedVoucherRow,
)
from p2p_modelex.store.sqlite import SqliteStore
from tests.chaos.journal import Journal, sum_up
from tests.chaos.stage import BOOTSTRAP, BUYERS, NODES, PASSPHRASE, PURSE, SELLERS, WINDOW, Stage
from tests.chaos.troupe import Troupe

CHALLENGE_S = 60
EVENTS_S = 5.0
RECEIPTS_MAX = 100_000
Lane = tuple[bytes, int]


@dataclass
class Kept:
    """What one node's store has."""

    channels: list[ChannelRow]
    issued: dict[Lane, IssuedVoucherRow]
    held: dict[Lane, ReceivedVoucherRow]
    receipts: dict[JobId, ReceiptRow]
    jobs: list[JobRow]


@dataclass
class Reckoning:
    """faults: what must not be. figures: what the report shows."""

    faults: list[str] = field(default_factory=list)
    figures: dict[str, int] = field(default_factory=dict)

    def expect(self, is_so: bool, otherwise: str) -> None:
        if not is_so:
            self.faults.append(otherwise)


async def read_store(stage: Stage, name: str) -> Kept:
    async with SqliteStore(stage.homes[name].database, read_only=True) as store:
        return Kept(
            channels=list(await store.channels()),
            issued={_lane_of(row): row for row in await store.issued_vouchers()},
            held={_lane_of(row): row for row in await store.received_vouchers()},
            receipts={
                JobId(row.receipt.receipt.job): row
                for row in await store.receipts(limit=RECEIPTS_MAX)
            },
            jobs=list(await store.jobs()),
        )


def _lane_of(row: IssuedVoucherRow | ReceivedVoucherRow) -> Lane:
    return row.signed.voucher.channel, row.signed.voucher.lane


async def find_strangers(stage: Stage, troupe: Troupe) -> list[str]:
    """Say who does not know whom by the newest advertisement, at its newest address."""
    known: dict[str, dict[bytes, int]] = {}
    newest: Counter[bytes] = Counter()
    told: dict[bytes, bytes] = {}
    for name in NODES:
        async with SqliteStore(stage.homes[name].database, read_only=True) as store:
            rows = await store.records(wall_clock())
        known[name] = {row.peer: row.sequence for row in rows}
        for row in rows:
            if row.sequence > newest[row.peer]:
                newest[row.peer], told[row.peer] = row.sequence, row.envelope
    missing = []
    for other in (BOOTSTRAP, *SELLERS):
        peer = stage.keys[other].peer.peer
        if troupe.address(other).encode() not in told.get(peer, b""):
            missing.append(f"nobody knows {other} at its address")
        missing += [
            f"{name} does not know {other}"
            for name in NODES
            if name != other and known[name].get(peer, 0) < newest[peer]
        ]
    return missing


async def reckon(stage: Stage) -> Reckoning:
    """Compare the stores, settle, close, and compare with the chain. The nodes are down."""
    found = Reckoning()
    kept = {name: await read_store(stage, name) for name in (*SELLERS, *BUYERS)}
    _check_lanes(found, kept)
    _check_receipts(found, stage, kept)
    _check_losses(found, kept)
    await _check_chain(found, stage, kept)
    return found


def _check_lanes(found: Reckoning, kept: dict[str, Kept]) -> None:
    """Both ends have the same voucher on each lane, and no work is unpaid."""
    held = {lane: row for name in SELLERS for lane, row in kept[name].held.items()}
    issued = {lane: row for name in BUYERS for lane, row in kept[name].issued.items()}
    found.expect(held.keys() <= issued.keys(), "a provider holds a voucher its payer never signed")
    apart = 0
    for lane, row in issued.items():
        theirs = held[lane].signed.voucher.amount if lane in held else 0
        gap = row.signed.voucher.amount - theirs
        found.expect(0 <= gap <= WINDOW, f"lane {lane[1]}: {gap} wei signed and not held")
        apart += gap != 0
    debts: Counter[bytes] = Counter()
    for (channel, _), one in held.items():
        debts[channel] += max(0, one.earned - one.signed.voucher.amount)
    for channel, debt in debts.items():
        found.expect(debt <= WINDOW, f"channel {channel.hex()[:8]}: {debt} wei earned and unpaid")
    found.figures["lanes"] = len(issued)
    found.figures["lanes where the last voucher is on its way"] = apart
    found.figures["wei of work that is unpaid"] = sum(debts.values())


def _check_receipts(found: Reckoning, stage: Stage, kept: dict[str, Kept]) -> None:
    """What a buyer was told is done, both ends can prove; and the receipts verify."""
    assert stage.deployment is not None
    sold = {job: row for name in SELLERS for job, row in kept[name].receipts.items()}
    for name in BUYERS:
        told = sum_up(Journal(stage.journal(name)).read())
        for entry in told.done:
            job = JobId(bytes.fromhex(entry["job"]))
            ours, theirs = kept[name].receipts.get(job), sold.get(job)
            found.expect(
                ours is not None and theirs is not None and ours.receipt == theirs.receipt,
                f"{name} job {entry['end']}: a receipt is missing",
            )
        found.expect(not told.open, f"{name}: jobs that never ended: {list(told.open)}")
        for row in kept[name].receipts.values():
            verify_receipt_row(row, stage.deployment.registry_domain, None)


def _check_losses(found: Reckoning, kept: dict[str, Kept]) -> None:
    """What was paid without a receipt, or receipted without being paid, is within a window for
    each job that was cut off.
    """
    paid_for_nothing = unpaid = in_doubt = 0
    for name in BUYERS:
        spent = sum(row.signed.voucher.amount for row in kept[name].issued.values())
        prices = sum(row.receipt.receipt.price for row in kept[name].receipts.values())
        cut = [row for row in kept[name].jobs if row.state != "finished"]
        # What these jobs delivered was paid, by design; a window more is what may be lost.
        most = sum(row.paid + WINDOW for row in cut)
        found.expect(
            0 <= spent - prices <= most, f"{name}: {spent - prices} wei without receipt, {most=}"
        )
        paid_for_nothing += spent - prices
        in_doubt += len(cut)
    for name in SELLERS:
        got: Counter[bytes] = Counter()
        for (channel, _), row in kept[name].held.items():
            got[channel] += row.signed.voucher.amount
        worth: Counter[bytes] = Counter()
        for receipt in kept[name].receipts.values():
            worth[receipt.receipt.receipt.channel] += receipt.receipt.receipt.price
        for channel, price in worth.items():
            cut = [r for r in kept[name].jobs if r.is_provider and r.state != "paid"]
            short = price - got[channel]
            found.expect(short <= WINDOW * len(cut), f"{name}: {short} wei receipted and unpaid")
            unpaid += max(0, short)
    found.figures["jobs cut off, failed or lost (rows)"] = in_doubt
    found.figures["wei paid for what they delivered"] = paid_for_nothing
    found.figures["wei receipted and unpaid"] = unpaid


async def _check_chain(found: Reckoning, stage: Stage, kept: dict[str, Kept]) -> None:
    """Each provider gets what its vouchers say, once; each payer the rest of its one deposit."""
    assert stage.deployment is not None
    for name in SELLERS:
        await settle_home(stage.homes[name], PASSPHRASE)
        found.expect(
            await settle_home(stage.homes[name], PASSPHRASE) == [], f"{name} settles twice"
        )
    async with EvmChain(stage.url, stage.deployment, stage.keys[BUYERS[0]].account) as chain:
        redeemed = 0
        for name in SELLERS:
            held = sum(row.signed.voucher.amount for row in kept[name].held.values())
            got = await chain.fetch_balance(stage.keys[name].account.address)
            found.expect(got == held, f"{name} holds {held} wei of vouchers and got {got}")
            redeemed += got
    deposited = refunded = 0
    for name in BUYERS:
        one, back = await _close_channels(found, stage, name, kept)
        deposited, refunded = deposited + one, refunded + back
    found.expect(
        deposited == redeemed + refunded, f"{deposited=} is not {redeemed=} and {refunded=}"
    )
    found.figures |= {
        "wei deposited": deposited,
        "wei redeemed": redeemed,
        "wei refunded": refunded,
    }


async def _close_channels(
    found: Reckoning, stage: Stage, name: str, kept: dict[str, Kept]
) -> tuple[int, int]:
    """Close a buyer's channels, those the chain has; return what was put in and what came back."""
    assert stage.deployment is not None
    account = stage.keys[name].account
    async with EvmChain(stage.url, stage.deployment, account) as chain:
        events: dict[str, list[ChannelId]] = defaultdict(list)
        with trio.move_on_after(EVENTS_S):
            async for event in chain.channel_events(0):
                events[event.kind].append(event.channel)
        opened = events["opened"]
        known = {row.state.channel: row.state for row in kept[name].channels}
        found.expect(set(opened) == set(known), f"{name}: the chain has other channels than it")
        payees = Counter(state.payee for state in known.values())
        found.expect(
            all(count == 1 for count in payees.values()), f"{name}: two channels to one provider"
        )
        closing: list[ChannelTerms] = []
        before, deposited = await chain.fetch_balance(account.address), 0
        for channel in opened:
            terms = await chain.find_terms(channel)
            assert terms is not None
            state = await chain.fetch_channel(terms)
            assert state is not None
            closing.append(terms)
            deposited += state.deposit
            if channel in known:
                gap = state.deposit - known[channel].deposit
                found.expect(gap == 0, f"{name}: {gap} wei deposited and not known")
            await chain.start_close(terms)
        found.figures[f"top-ups of {name}"] = len(events["topped_up"])
        await advance_time(stage.url, CHALLENGE_S + 1)
        for terms in closing:
            await chain.finish_close(terms)
        after = await chain.fetch_balance(account.address)
    found.expect(before == PURSE - deposited, f"{name}: money went elsewhere than into channels")
    return deposited, after - before
