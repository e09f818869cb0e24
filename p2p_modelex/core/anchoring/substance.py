"""What an anchor is the digest of: the part of an advertisement that a requester would act on."""

import msgspec

from p2p_modelex.ids import Digest
from p2p_modelex.records import codec, envelope
from p2p_modelex.records.advertisement import Advertisement, Offer

_PREFIX = b"modelex/anchor/1\x00"


class Owner(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An ownership proof without its date and signature, which a restart renews."""

    operator: bytes
    delegate: bytes


class Substance(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An advertisement without what changes at each signing. farms: their keys."""

    addresses: tuple[str, ...]
    offers: tuple[Offer, ...]
    owners: tuple[Owner, ...]
    farms: tuple[bytes, ...]
    evidence: bytes


def compute_anchor(advertisement: Advertisement) -> Digest:
    """Return the digest to anchor (ANC-1): the same for each signing of the same substance."""
    substance = Substance(
        tuple(sorted(advertisement.addresses)),
        advertisement.offers,
        tuple(
            Owner(signed.ownership.operator, signed.ownership.delegate)
            for signed in advertisement.accounts
        ),
        tuple(envelope.signer for envelope in advertisement.farms),
        advertisement.evidence,
    )
    return envelope.digest(_PREFIX + codec.encode(substance))
