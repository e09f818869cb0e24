"""What travels on a reconciliation stream. Rules: protocols/directory/README.md (REC-1 ...).

Initiator to responder: Compare, Fetch, Offered, Pull (tags under 16).
Responder to initiator: Compared, Records, Took, Pulled (tags from 16); each answers one message.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from p2p_modelex import limits
from p2p_modelex.records.types import U32, U64, Bytes16, Bytes32

Bound = Annotated[bytes, Meta(max_length=32)]
"""An end of a range of Ed25519 keys, compared as bytes. As an upper end, empty is past the last."""

SPLIT_MAX = 16
LISTING_MAX = 1000
"""Under the codec's array bound of 1024; 44 KB on the wire."""


class _Wire(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    pass


class Range(_Wire, frozen=True):
    """What the sender holds from `lower` (inclusive) to `upper` (exclusive).

    fingerprint: 16 bytes over the (peer, sequence) pairs, as protocols/directory defines it.
    """

    lower: Bound
    upper: Bound
    count: U32
    fingerprint: Bytes16


class Held(_Wire, frozen=True):
    """The sender holds this sequence of the peer with this Ed25519 key."""

    peer: Bytes32
    sequence: U64


class Split(_Wire, frozen=True, tag=1):
    """The asked range differs; these parts of it, in order and without gaps, are the sender's."""

    parts: Annotated[tuple[Range, ...], Meta(min_length=2, max_length=SPLIT_MAX)]


class Listing(_Wire, frozen=True, tag=2):
    """The asked range differs; this is all the sender holds in it, in the order of keys."""

    lower: Bound
    upper: Bound
    items: Annotated[tuple[Held, ...], Meta(max_length=LISTING_MAX)]


class Compare(_Wire, frozen=True, tag=1):
    """Compare ranges."""

    ranges: Annotated[tuple[Range, ...], Meta(min_length=1, max_length=limits.RECONCILE_RANGES_MAX)]


class Fetch(_Wire, frozen=True, tag=2):
    """Send the newest advertisements of these peers (Ed25519 keys)."""

    peers: Annotated[
        tuple[Bytes32, ...], Meta(min_length=1, max_length=limits.RECONCILE_BATCH_RECORDS)
    ]


Envelopes = Annotated[
    tuple[Annotated[bytes, Meta(max_length=limits.ADVERTISEMENT_BYTES)], ...],
    Meta(max_length=limits.RECONCILE_BATCH_RECORDS),
]


class Offered(_Wire, frozen=True, tag=3):
    """Advertisements (encoded envelopes) that the responder lacks."""

    envelopes: Envelopes


class Bounds(_Wire, frozen=True):
    """A range, from `lower` (inclusive) to `upper` (exclusive)."""

    lower: Bound
    upper: Bound


class Pull(_Wire, frozen=True, tag=4):
    """Send all advertisements in these ranges, in the order of keys: the initiator has none."""

    ranges: Annotated[
        tuple[Bounds, ...], Meta(min_length=1, max_length=limits.RECONCILE_RANGES_MAX)
    ]


class Compared(_Wire, frozen=True, tag=16):
    """How the first `answered` ranges differ; those that are equal are left out."""

    answered: U32
    differences: Annotated[
        tuple[Split | Listing, ...], Meta(max_length=limits.RECONCILE_RANGES_MAX)
    ]


class Records(_Wire, frozen=True, tag=17):
    """The advertisements (encoded envelopes) that were fetched; unknown ones are left out."""

    envelopes: Envelopes


class Took(_Wire, frozen=True, tag=18):
    """How many of the offered advertisements were new to the responder."""

    accepted: U32


class Pulled(_Wire, frozen=True, tag=19):
    """The first advertisements (encoded envelopes) in the ranges asked for.

    rest: where the next one is; empty if there is none.
    """

    envelopes: Envelopes
    rest: Bound


InitiatorMessage = Compare | Fetch | Offered | Pull
ResponderMessage = Compared | Records | Took | Pulled
