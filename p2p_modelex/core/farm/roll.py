"""An owner's roll: whom a farm has admitted, and what is signed about it."""

from typing import Annotated

import msgspec
from msgspec import Meta

from p2p_modelex import limits
from p2p_modelex.errors import BadInput
from p2p_modelex.ids import PeerId, format_peer_id, parse_address, parse_peer_id, public_key_of
from p2p_modelex.records.farm import (
    WHOLE,
    Certificate,
    FarmName,
    FarmRecord,
    MemberIndex,
    Weight,
)
from p2p_modelex.records.types import U32, U64
from p2p_modelex.units import Millis, UnixMs

ADMISSIONS_MAX = 10_000
"""Of one farm, ever: an index is given once. At 250 bytes each a file of 2.5 MB."""
_INDEX_MAX = 2**16 - 1


class Admission(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A certificate as its owner remembers it. member: the peer id as text."""

    member: str
    index: MemberIndex
    weight: Weight
    serial: U32
    not_before: U64
    not_after: U64
    is_revoked: bool = False


class Roll(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything an owner knows of its farm, but the key. farm: its id. payee: 0x and 40 digits.
    sequence: of the last record that was signed, unix ms, 0 for none.
    """

    name: FarmName
    farm: str
    payee: str
    sequence: U64 = 0
    admissions: Annotated[tuple[Admission, ...], Meta(max_length=ADMISSIONS_MAX)] = ()


def admit(
    roll: Roll, member: PeerId, weight: int, index: int | None, now: UnixMs, until: UnixMs
) -> tuple[Roll, Admission]:
    """Return the roll with one more certificate, and it; BadInput if the farm cannot give it
    (FRM-17): an index is one peer's for ever, and weights come to WHOLE at most.

    index: None for the one that the peer has, or the next. A peer's older certificates hold beside.
    """
    text = format_peer_id(member)
    left = WHOLE - compute_weight(roll, now, but=text)
    if not 1 <= weight <= left:
        raise BadInput(
            f"a weight of {weight}, of which {left} are left",
            hint=f"weights are 1 to {WHOLE}, and come to {WHOLE} at most; revoke, or give less",
        )
    if len(roll.admissions) >= ADMISSIONS_MAX:
        raise BadInput("the farm has signed as many certificates as it can", hint="found another")
    serial = 1 + max((one.serial for one in roll.admissions), default=0)
    chosen = _choose_index(roll, text, index)
    made = Admission(text, chosen, weight, serial, now, until)
    return msgspec.structs.replace(roll, admissions=(*roll.admissions, made)), made


def compute_weight(roll: Roll, now: UnixMs, but: str = "") -> int:
    """Return what the certificates that hold weigh, each member's heaviest, but one member's."""
    heaviest: dict[str, int] = {}
    for one in roll.admissions:
        if one.member != but and not one.is_revoked and one.not_after >= now:
            heaviest[one.member] = max(one.weight, heaviest.get(one.member, 0))
    return sum(heaviest.values())


def _choose_index(roll: Roll, member: str, wanted: int | None) -> int:
    holders = {one.index: one.member for one in roll.admissions}
    own = [index for index, holder in holders.items() if holder == member]
    index = wanted if wanted is not None else [*own, max(holders, default=0) + 1][0]
    if not 1 <= index <= _INDEX_MAX:
        raise BadInput(f"an index is 1 to {_INDEX_MAX}, not {index}")
    if holders.get(index, member) != member:
        raise BadInput(
            f"index {index} is another member's", hint="an index is never given again; leave it out"
        )
    return index


def revoke(roll: Roll, who: str) -> tuple[Roll, tuple[int, ...]]:
    """Return the roll without a certificate, by its serial, or all of a peer's, by its id; and the
    serials. BadInput if there is none.
    """
    serials = tuple(
        one.serial
        for one in roll.admissions
        if who in (str(one.serial), one.member) and not one.is_revoked
    )
    if not serials:
        raise BadInput(
            f"no certificate that holds is {who[:80]!r}", hint="`modelex farm list` shows them"
        )
    admissions = tuple(
        msgspec.structs.replace(one, is_revoked=True) if one.serial in serials else one
        for one in roll.admissions
    )
    return msgspec.structs.replace(roll, admissions=admissions), serials


def build_certificate(roll: Roll, admission: Admission) -> Certificate:
    """Return what the owner signs for a member."""
    return Certificate(
        name=roll.name,
        member=public_key_of(parse_peer_id(admission.member)),
        payee=parse_address(roll.payee),
        index=admission.index,
        weight=admission.weight,
        serial=admission.serial,
        not_before=admission.not_before,
        not_after=admission.not_after,
    )


def build_record(roll: Roll, now: UnixMs, ttl_ms: Millis) -> tuple[Roll, FarmRecord]:
    """Return the roll and the record that the owner signs next (FRM-18); BadInput if more is
    revoked than a record holds.
    """
    revoked = sorted(
        one.serial for one in roll.admissions if one.is_revoked and one.not_after >= now
    )
    if len(revoked) > limits.REVOKED_MAX:
        raise BadInput(
            f"{len(revoked)} revoked certificates have not expired, a record holds "
            f"{limits.REVOKED_MAX}",
            hint="found another farm, and admit its members for fewer days",
        )
    sequence = max(int(now), roll.sequence + 1)
    record = FarmRecord(roll.name, sequence, ttl_ms, parse_address(roll.payee), tuple(revoked))
    return msgspec.structs.replace(roll, sequence=sequence), record
