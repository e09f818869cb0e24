"""What members of a farm tell each other: when each has room, whom it served, what it can spare.

Rules: protocols/members/README.md (MEM-1 ...). Streams are between peers that know each other, so
nothing here is signed.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from p2p_modelex import limits
from p2p_modelex.records.channel import PayerTerms
from p2p_modelex.records.types import U32, Bytes20, Bytes32
from p2p_modelex.units import SPLITS_MAX, Wei

SplitEpoch = Annotated[int, Meta(ge=0, le=SPLITS_MAX)]


class ServedPayer(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False
):
    """A payer's jobs that went to an engine since the last Told, in tokens."""

    payer: Bytes20
    tokens: U32


class SpareLine(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Wei of a channel's deposit that a member could do without now."""

    channel: Bytes32
    spare: Wei
    epoch: SplitEpoch


class _Wire(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    pass


class Told(_Wire, frozen=True, tag=1):
    """How a member of `farm` (its Ed25519 key) is doing. wait_ms: when a new job would begin.
    served: the payers it served most. spares: of the channels that were used last.
    """

    farm: Bytes32
    wait_ms: U32
    served: Annotated[tuple[ServedPayer, ...], Meta(max_length=limits.SERVED_TOLD_MAX)]
    spares: Annotated[tuple[SpareLine, ...], Meta(max_length=limits.SPARES_TOLD_MAX)]


class Borrow(_Wire, frozen=True, tag=2):
    """Ask for a part of a member's line on a channel that pays `farm`.

    terms: the channel's. have: wei that the asker ever got there from the one it asks. want: wei
    it needs on top.
    """

    farm: Bytes32
    terms: PayerTerms
    have: Wei
    want: Wei
    epoch: SplitEpoch


class Lent(_Wire, frozen=True, tag=3):
    """The answer: wei that the asker was ever given, in all."""

    given: Wei
    epoch: SplitEpoch


MemberMessage = Told | Borrow
