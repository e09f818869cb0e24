"""What a node keeps on disk: the rows that `Persist` effects carry and the store holds.

A row replaces the older one with the same key (named in each docstring).
"""

import msgspec

from p2p_modelex.ids import Address, ChannelId, JobId, PeerId, PublicKey
from p2p_modelex.records.channel import ChannelState
from p2p_modelex.records.envelope import Envelope
from p2p_modelex.records.job import Request
from p2p_modelex.records.ownership import SignedOwnership
from p2p_modelex.records.receipt import SignedReceipt
from p2p_modelex.records.types import U16
from p2p_modelex.records.voucher import SignedVoucher
from p2p_modelex.units import UnixMs, Wei


class ChannelRow(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False
):
    """A channel we pay into or are paid from. Key: channel."""

    state: ChannelState
    is_payer: bool
    peer: PeerId | None
    """The peer at the other end, where known."""


class MemberRow(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Whose lanes a farm's member index has on a channel that we pay into. Key: channel, index."""

    channel: ChannelId
    index: int
    peer: PeerId


class IssuedVoucherRow(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False
):
    """The newest voucher we signed on a lane; durable before it is sent. Key: channel, lane."""

    signed: SignedVoucher


class ReceivedVoucherRow(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False
):
    """The newest voucher we hold on a lane, and what we earned there. Key: channel, lane.

    earned: cumulative wei of work done on the lane; what it has over the voucher's amount is the
    payer's debt.
    """

    signed: SignedVoucher
    earned: Wei


class RedeemedRow(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False
):
    """How much of a lane the chain has credited, in the epoch of the lane's ReceivedVoucherRow.
    Key: channel, lane.
    """

    channel: ChannelId
    lane: int
    amount: Wei


class DepositRow(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False
):
    """A deposit that was signed and may be mined, `amount` wei of split epoch `epoch`. Key: payee.

    channel: the one topped up, None for a new one. signed: the transactions, all with one nonce and
    durable before one of them is sent; empty once it is known how the deposit ended.
    """

    payee: Address
    channel: ChannelId | None
    amount: Wei
    epoch: U16
    signed: tuple[bytes, ...]


class LoanRow(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """What we and another member of a farm ever gave each other of our lines on a channel, in wei
    of split epoch `epoch`. Key: channel, peer.
    """

    channel: ChannelId
    peer: PeerId
    given: Wei
    taken: Wei
    epoch: U16


class ReceiptRow(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False
):
    """A finished job with all that is needed to verify it offline. Key: job, role.

    This is also the content of a receipt file (protocols/exchange, receipt file).
    """

    is_provider: bool
    peer: PeerId
    """The peer at the other end."""
    receipt: SignedReceipt
    request: Request
    completion: str
    ownership: SignedOwnership
    """Who may sign receipts for the provider."""


class JobRow(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """A job's state, for telling after a crash what was cut off. Key: job, is_provider.

    owed, paid: wei in split epoch `epoch`.
    """

    job: JobId
    is_provider: bool
    peer: PeerId
    state: str
    owed: Wei
    paid: Wei
    updated_at: UnixMs
    epoch: U16 = 0


class RecordRow(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """The newest advertisement known of a peer, its exact envelope bytes. Key: peer."""

    peer: PeerId
    sequence: int
    expires_at: UnixMs
    envelope: bytes


class FarmRow(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """The newest record known of a farm, its exact envelope bytes. Key: farm, its key."""

    farm: PublicKey
    expires_at: UnixMs
    envelope: bytes


class MembershipRow(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False
):
    """A certificate of ours, kept for ever: what was earned by it is redeemed by it. Key: farm,
    serial.
    """

    farm: PublicKey
    serial: int
    certificate: Envelope


class SettingRow(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False
):
    """A name and a small value of the node itself, such as its last sequence. Key: name."""

    name: str
    value: bytes


Row = (
    ChannelRow
    | MemberRow
    | IssuedVoucherRow
    | ReceivedVoucherRow
    | RedeemedRow
    | DepositRow
    | LoanRow
    | ReceiptRow
    | JobRow
    | RecordRow
    | FarmRow
    | MembershipRow
    | SettingRow
)
