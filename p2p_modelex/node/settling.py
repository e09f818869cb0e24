"""Settling a home's vouchers from outside its node, which may be running."""

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from p2p_modelex import limits
from p2p_modelex.chain.abc import Chain, Deployment
from p2p_modelex.core.farming import seats_of
from p2p_modelex.core.ledger.payee import PayeeLedger
from p2p_modelex.ids import Address, ChannelId, Digest
from p2p_modelex.keys.keystore import unlock_keystore
from p2p_modelex.keys.signers import KeyRing
from p2p_modelex.node.assembly import deployment_of
from p2p_modelex.node.configuration_file import read_configuration
from p2p_modelex.node.driver import wall_clock
from p2p_modelex.node.genesis import bind_genesis
from p2p_modelex.node.home import Home
from p2p_modelex.records.channel import Claim
from p2p_modelex.records.farm import open_certificate
from p2p_modelex.records.rows import RedeemedRow, Row
from p2p_modelex.store.abc import Store
from p2p_modelex.store.sqlite import SqliteStore
from p2p_modelex.units import Wei


@dataclass(frozen=True, slots=True)
class Books:
    """A home's money: its chain, its store and its keys."""

    chain: Chain
    store: Store
    deployment: Deployment
    keys: KeyRing

    async def rows(self) -> list[Row]:
        """Return every row about money."""
        store = self.store
        return [
            *await store.channels(),
            *await store.issued_vouchers(),
            *await store.received_vouchers(),
            *await store.redeemed(),
            *await store.jobs(),
        ]


@dataclass(frozen=True, slots=True)
class Settled:
    """One transaction. skipped: vouchers the contract gave nothing for."""

    payee: Address
    transaction: Digest
    vouchers: int
    skipped: int
    credited: Wei
    gas_used: int


@asynccontextmanager
async def open_books(home: Home, keys: KeyRing) -> AsyncGenerator[Books, None]:
    """Open a home's store and chain beside its node. Raises as `open_node` does."""
    from p2p_modelex.chain.evm.port import EvmChain

    configuration = read_configuration(home.configuration)
    deployment = deployment_of(home, configuration)
    chain = EvmChain(configuration.network.rpc_url, deployment, keys.account)
    async with SqliteStore(home.database) as store, chain:
        await chain.check()
        await bind_genesis(chain, store, configuration.network.rpc_url)
        yield Books(chain, store, deployment, keys)


async def settle(
    books: Books, channel: ChannelId | None = None, tell: Callable[[Settled], None] = lambda _: None
) -> list[Settled]:
    """Redeem the vouchers that bring anything, of one channel or of all: a transaction for each of
    the accounts that we are paid at, or more where there are more than a batch. tell: hears of each
    when it is mined, since the next may fail.
    """
    done: list[Settled] = []
    while claims := await _choose(books, channel):
        done.append(await _redeem(books, claims))
        tell(done[-1])
    return done


async def pay_out(books: Books, done: Iterable[Settled]) -> Wei:
    """Pay out what was redeemed in the pause of a split, at all accounts that we are paid at but
    those of `done`: redeeming pays out as well.
    """
    paid = {settled.payee for settled in done}
    ledger = await _open_ledger(books)
    return Wei(sum([await books.chain.pay_out(one) for one in ledger.payees if one not in paid]))


async def settle_home(home: Home, passphrase: str) -> list[Settled]:
    """Settle a home by its passphrase."""
    async with open_books(home, unlock_keystore(home.keys, passphrase)) as books:
        return await settle(books)


async def _open_ledger(books: Books) -> PayeeLedger:
    ledger = PayeeLedger(books.keys.account.address, books.deployment.channels_domain)
    kept = await books.store.memberships()
    ledger.take_seats(seats_of(open_certificate(row.certificate) for row in kept))
    ledger.restore(await books.rows())
    return ledger


async def _choose(books: Books, channel: ChannelId | None) -> tuple[Claim, ...]:
    """Return a batch of one account's; empty if nothing is left."""
    ledger = await _open_ledger(books)
    held = ledger.claims_to_redeem(wall_clock(), is_forced=True)
    chosen = [one for one in held if channel is None or one.signed.voucher.channel == channel]
    batch = [one for one in chosen if one.terms.payee == chosen[0].terms.payee]
    return tuple(batch[: limits.REDEMPTION_VOUCHERS_MAX])


async def _redeem(books: Books, claims: tuple[Claim, ...]) -> Settled:
    redemption = await books.chain.redeem(claims)
    promises = [claim.signed.voucher for claim in claims]
    redeemed = [RedeemedRow(ChannelId(v.channel), v.lane, v.amount) for v in promises]
    await books.store.apply(redeemed)
    credited = redemption.credited
    return Settled(
        payee=Address(claims[0].terms.payee),
        transaction=redemption.transaction,
        vouchers=len(claims),
        skipped=sum(1 for amount in credited if not amount),
        credited=Wei(sum(credited)),
        gas_used=redemption.gas_used,
    )
