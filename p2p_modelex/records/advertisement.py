"""The advertisement: what a peer says about itself, and the announcement that says it changed.

Rules: protocols/directory/README.md (ADV-1 ..., ANN-1 ...). Load is not in it: it is probed.
"""

from enum import IntEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from p2p_modelex import limits
from p2p_modelex.records.envelope import Envelope
from p2p_modelex.records.ownership import SignedOwnership
from p2p_modelex.records.types import U16, U32, U64, AddressText, Bytes32, Name
from p2p_modelex.units import Epoch, Wei, rescale

DOMAIN = "advertisement"

Kind = Literal["chat", "completion", "score", "embedding"]


class Section(IntEnum):
    """The registry section a node claims; anyone can check it on chain."""

    UNREGISTERED = 0
    PUBLIC = 1
    WHITELISTED = 2


class Offer(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """One model and its terms (a capability).

    model: name, such as `smollm2-135m-instruct`. weights: SHA-256 of the file. kinds: what it
    serves. context_length, max_tokens: tokens. features: sorted, such as `grammar`, `logprobs`.
    prompt_price, completion_price: wei a token, in split epoch `epoch`. credit_tokens: how many
    completion tokens it works ahead of vouchers. deferred_discount: basis points off.
    """

    model: Name
    weights: Bytes32
    kinds: Annotated[tuple[Kind, ...], Meta(min_length=1, max_length=4)]
    context_length: U32
    max_tokens: U32
    features: Annotated[tuple[Name, ...], Meta(max_length=limits.FEATURES_MAX)]
    prompt_price: Wei
    completion_price: Wei
    epoch: U16
    credit_tokens: U32
    deferred_discount: Annotated[int, Meta(ge=0, le=10_000)]


def move_offer(offer: Offer, epoch: Epoch) -> Offer:
    """Return the offer with its prices in a later split epoch: the same share of the supply.

    It is returned as it is if it is of this epoch or a later one.
    """
    if offer.epoch >= epoch:
        return offer
    prompt_price, completion_price = (
        Wei(rescale(price, offer.epoch, epoch))
        for price in (offer.prompt_price, offer.completion_price)
    )
    return msgspec.structs.replace(
        offer, prompt_price=prompt_price, completion_price=completion_price, epoch=epoch
    )


class Advertisement(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False
):
    """A peer's signed statement about itself; the newest sequence replaces all older ones.

    sequence: unix ms when it was made. ttl_ms: how long it holds. addresses: multiaddrs without
    the /p2p part. farms: certificates (records/farm.py). evidence: SHA-256, or zeros for none.
    No offers and no addresses: the peer withdraws.
    """

    sequence: U64
    ttl_ms: Annotated[int, Meta(ge=limits.TTL_MIN_MS, le=limits.TTL_MAX_MS)]
    agent: Name
    addresses: Annotated[tuple[AddressText, ...], Meta(max_length=limits.ADDRESSES_MAX)]
    offers: Annotated[tuple[Offer, ...], Meta(max_length=limits.OFFERS_MAX)]
    accounts: Annotated[tuple[SignedOwnership, ...], Meta(max_length=limits.ACCOUNTS_MAX)]
    section: Section
    farms: Annotated[tuple[Envelope, ...], Meta(max_length=limits.FARMS_MAX)]
    evidence: Bytes32


class Change(IntEnum):
    """What an announcement says happened."""

    NEW = 0
    CHANGED = 1
    WITHDRAWN = 2


class Announcement(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False
):
    """A hint that `peer` (Ed25519 key) has an advertisement with `sequence`.

    It decides what to fetch and is never trusted.
    """

    peer: Bytes32
    sequence: U64
    change: Change


class Announcements(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False
):
    """One gossip message."""

    items: Annotated[
        tuple[Announcement, ...], Meta(min_length=1, max_length=limits.ANNOUNCEMENTS_PER_MESSAGE)
    ]
