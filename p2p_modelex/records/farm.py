"""The farm: a group of providers under one Ed25519 key, whose owner says who is a member.

Rules: protocols/farm/README.md (FRM-1 ...). A farm's id is the peer id of its owner's key.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

import msgspec
from msgspec import Meta

from p2p_modelex import limits
from p2p_modelex.errors import BadInput, RemoteProtocolError
from p2p_modelex.ids import (
    NetworkId,
    PeerId,
    PublicKey,
    format_peer_id,
    parse_peer_id,
    peer_id_of,
)
from p2p_modelex.records import codec
from p2p_modelex.records import envelope as envelopes
from p2p_modelex.records.envelope import Envelope
from p2p_modelex.records.types import U32, U64, Bytes20, Bytes32
from p2p_modelex.units import UnixMs

CERTIFICATE_DOMAIN = "farm_certificate"
RECORD_DOMAIN = "farm"
PREFIX = "farm:"
"""How a person says that a farm is meant."""
WHOLE = 10_000
"""The weight of a whole farm, in basis points."""
_KEPT = 4096

# Small letters only, and too short for an id: a name is never taken for one.
FarmName = Annotated[
    str, Meta(max_length=limits.FARM_NAME_CHARS, pattern=r"\A[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\Z")
]
Weight = Annotated[int, Meta(ge=1, le=WHOLE)]
# 0 is the payee's own: the lanes of a channel that pays no farm.
MemberIndex = Annotated[int, Meta(ge=1, le=2**16 - 1)]
RecordBytes = Annotated[bytes, Meta(max_length=limits.FARM_RECORD_BYTES)]
"""An encoded envelope of a FarmRecord, or nothing."""


class Certificate(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False
):
    """The farm's word that the peer with Ed25519 key `member` is one of it.

    payee: the account that orders through the farm are paid to. index: the member's own among all
    members the farm ever had; it fixes the lanes that are the member's. weight: basis points of
    the farm. serial: the certificate's own. not_before, not_after: unix ms, both included.
    """

    name: FarmName
    member: Bytes32
    payee: Bytes20
    index: MemberIndex
    weight: Weight
    serial: U32
    not_before: U64
    not_after: U64


class FarmRecord(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False
):
    """A farm's statement about itself; the newest sequence replaces all older ones.

    sequence: unix ms when it was made. ttl_ms: how long it holds. revoked: serials of certificates
    that hold no more, in ascending order; those past their not_after need no mention.
    """

    name: FarmName
    sequence: U64
    ttl_ms: Annotated[int, Meta(ge=limits.TTL_MIN_MS, le=limits.FARM_TTL_MAX_MS)]
    payee: Bytes20
    revoked: Annotated[tuple[U32, ...], Meta(max_length=limits.REVOKED_MAX)]


class FarmQuestion(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=1
):
    """Ask a member for its farm's record. record: the newest that the asker has, empty for none."""

    farm: Bytes32
    record: RecordBytes


class FarmAnswer(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False, tag=2
):
    """record: the newest of both, empty where it is the asker's or there is none."""

    record: RecordBytes


@dataclass(frozen=True, slots=True)
class Membership:
    """A certificate and whose it is. farm: the owner's key."""

    farm: PublicKey
    certificate: Certificate

    @property
    def id(self) -> PeerId:
        """The farm's id."""
        return peer_id_of(self.farm)


# Certificates come again with each renewal of an advertisement and each choice.
@lru_cache(_KEPT)
def open_certificate(envelope: Envelope) -> Membership:
    """Return what an envelope says, unverified; RemoteProtocolError FRM-1 if it says nothing."""
    try:
        certificate: Certificate = codec.decode(
            Certificate, envelope.payload, limit=limits.CERTIFICATE_BYTES
        )
    except RemoteProtocolError as error:
        raise RemoteProtocolError("FRM-1", error.message) from error
    return Membership(PublicKey(envelope.signer), certificate)


@lru_cache(_KEPT)
def _is_signed(envelope: Envelope, network: NetworkId) -> bool:
    try:
        envelopes.verify(envelope, CERTIFICATE_DOMAIN, network)
    except RemoteProtocolError:
        return False
    return True


def validate_certificate(
    envelope: Envelope, member: PublicKey, network: NetworkId, since: UnixMs, until: UnixMs
) -> Membership:
    """Return the membership that a certificate gives `member` from `since` to `until`, both
    included; RemoteProtocolError FRM-1 to FRM-4 if it gives none.
    """
    membership = open_certificate(envelope)
    certificate = membership.certificate
    if certificate.member != member:
        raise RemoteProtocolError("FRM-2", "the certificate is for another peer")
    if since < certificate.not_before:
        raise RemoteProtocolError("FRM-3", "the certificate does not hold yet")
    if until > certificate.not_after:
        raise RemoteProtocolError("FRM-3", "the certificate has expired")
    if not _is_signed(envelope, network):
        raise RemoteProtocolError("FRM-4", "the certificate is not signed by the farm")
    return membership


def parse_farm(text: str) -> str:
    """Return a farm's name or id, with or without `farm:` before it; BadInput if it is neither."""
    plain = text.removeprefix(PREFIX)
    try:
        return msgspec.convert(plain, FarmName)
    except msgspec.ValidationError:
        pass
    try:
        parse_peer_id(plain)
    except BadInput as error:
        raise BadInput(
            f"neither a farm's name nor its id: {text[:80]!r}",
            hint=f"a name has small letters, digits and `-`, at most {limits.FARM_NAME_CHARS}; "
            "`modelex nodes` shows of which farms they are",
        ) from error
    return plain


def names_of(membership: Membership) -> tuple[str, str]:
    """Return the two texts that a farm is called by: its name and its id."""
    return membership.certificate.name, format_peer_id(membership.id)
