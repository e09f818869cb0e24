"""DataBlocks (interfaces/IDataBlocks.sol): data offered, leased, and models made from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from eth_abi.abi import encode

from p2p_modelex.chain.contracts.contract import Answers, Sent, check_page, read_enum
from p2p_modelex.chain.contracts.credits import Credits
from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.ids import Address, Digest, format_address, parse_address


class Use(IntEnum):
    """What a lessee may do: have the bytes, or only have a model trained on them."""

    RAW = 0
    FINE_TUNE = 1


@dataclass(frozen=True, slots=True)
class Offer:
    """What a creator says of a block. manifest: digest of its manifest. terms: SHA-256 of the
    licence. price: of one lease, now. duration_s: of one lease. max_lessees: at the same time, 0
    for any number.
    """

    manifest: Digest
    terms: Digest
    price: Amount
    duration_s: int
    max_lessees: int
    use: Use
    uri: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """An offered block. offered_at: unix seconds. leases: sold so far, renewals included."""

    id: Digest
    creator: Address
    offer: Offer
    retired: bool
    offered_at: int
    leases: int


@dataclass(frozen=True, slots=True)
class Derivative:
    """A model that a block's creator stands by. signed_off_at: unix seconds."""

    maker: Address
    signed_off_at: int


class Blocks(Credits):
    """Blocks by the digest of their manifest, leased by their creator's terms."""

    artifact = "DataBlocks"
    key = "blocks"

    async def fetch_block(self, block: Digest) -> Block:
        """A block; Reverted NoSuchBlock if there is none."""
        [found] = await self._fetch([block])
        return found

    async def fetch_page(self, offset: int, limit: int) -> tuple[Block, ...]:
        """At most `limit` blocks, up to PAGE_ROWS_MAX, from `offset` on, oldest first."""
        check_page(offset, limit)
        return await self._fetch(await self.ask("blocks", offset, limit))

    async def fetch_count(self) -> int:
        """How many blocks there are."""
        return int(await self.ask("count"))

    async def fetch_price(self, block: Digest) -> Amount:
        """What a lease costs now."""
        return await self.ask_amount("priceOf", block)

    async def has_lease(self, block: Digest, lessee: Address) -> bool:
        """Whether `lessee` may use the block at the newest block's time."""
        return bool(await self.ask("hasLease", block, lessee))

    async def fetch_leased_until(self, block: Digest, lessee: Address) -> int:
        """Until when it may, unix seconds; 0 if it never could."""
        return int(await self.ask("leasedUntil", block, lessee))

    async def fetch_derivative(self, block: Digest, weights: Digest) -> Derivative | None:
        """A model made from the block; None if the creator does not stand by it."""
        maker, signed_off_at = await self.ask("derivativeOf", block, weights)
        return Derivative(parse_address(maker), signed_off_at) if signed_off_at else None

    async def offer(self, offer: Offer) -> Sent:
        """Offer as our account's; the event Offered has the block's id."""
        fields = (
            offer.manifest,
            offer.terms,
            await self.write_amount(offer.price),
            offer.duration_s,
            offer.max_lessees,
            offer.use,
            offer.uri,
        )
        return await self.tell("offer", fields)

    async def set_price(self, block: Digest, price: Amount) -> Sent:
        """As the creator, change what leases to come cost."""
        return await self.tell("setPrice", block, await self.write_amount(price))

    async def retire(self, block: Digest) -> Sent:
        """As the creator, for good: no new leases and no renewals."""
        return await self.tell("retire", block)

    async def lease(self, block: Digest, price: Amount, lessee: Address) -> Sent:
        """Lease or renew for `lessee`, for exactly `price`; Reverted WrongPayment if it costs
        another. The event Leased says until when.
        """
        form = encode(["bytes32", "address"], [block, format_address(lessee)])
        return await self.pay(price, form)

    async def sign_off(self, block: Digest, weights: Digest, maker: Address) -> Sent:
        """As the creator, stand by the model with these weights that a lessee made."""
        return await self.tell("signOff", block, weights, maker)

    async def withdraw_sign_off(self, block: Digest, weights: Digest) -> Sent:
        """As the creator, no longer stand by it."""
        return await self.tell("withdrawSignOff", block, weights)

    async def _fetch(self, ids: Sequence[bytes]) -> tuple[Block, ...]:
        answers = await self.ask_all(*(("blockOf", each) for each in ids))
        pairs = zip(ids, answers.values, strict=True)
        return tuple(_read(Digest(each), fields, answers) for each, fields in pairs)


def _read(block: Digest, fields: tuple[Any, ...], answers: Answers) -> Block:
    creator, duration_s, epoch, max_lessees, use, retired, price, offered_at, leases, *rest = fields
    manifest, terms, uri = rest
    offer = Offer(
        manifest=manifest,
        terms=terms,
        price=answers.rescale(price, epoch),
        duration_s=duration_s,
        max_lessees=max_lessees,
        use=read_enum(Use, use),
        uri=uri,
    )
    return Block(block, parse_address(creator), offer, retired, offered_at, leases)
