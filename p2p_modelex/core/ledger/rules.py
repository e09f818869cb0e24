"""What a voucher must be for a job to begin, or go on. Numbers: protocols/ledger/README.md.

Each raises JobRefused.
"""

from collections.abc import Mapping

from p2p_modelex.core.ledger.accounts import ChannelAccount, JobAccount
from p2p_modelex.errors import JobRefused, RemoteProtocolError
from p2p_modelex.ids import Digest, JobId
from p2p_modelex.records import voucher
from p2p_modelex.records.voucher import SignedVoucher, Voucher
from p2p_modelex.units import Epoch, rescale


def validate_opening(
    account: ChannelAccount,
    wanted: JobAccount,
    promise: Voucher,
    jobs: Mapping[JobId, JobAccount],
    line: int,
) -> None:
    """LED-2 to LED-7: a job may have the lane. line: wei of the deposit that count for our seat."""
    if not account.seat.owns(promise.lane):
        raise JobRefused("bad_voucher", "LED-2: the lane is none of ours")
    lane = account.get_lane(promise.lane)
    validate_epoch(promise, wanted.epoch, account.epoch)
    if lane.holder is not None and not jobs[lane.holder].is_settling:
        raise JobRefused("lane_in_use", "LED-5: another job runs on this lane")
    if promise.amount < rescale(lane.amount, lane.epoch, wanted.epoch):
        raise JobRefused("bad_voucher", "LED-4: less than the lane's last voucher")
    if promise.amount < wanted.base:
        raise JobRefused("bad_voucher", "LED-7: less than its own base")
    # The exact text is protocol: the payer learns from it what its base must reach.
    due = account.compute_due(promise.lane, wanted.epoch)
    if wanted.base < due:
        raise JobRefused("debt", f"earned={due}")  # LED-7
    if not account.covers(_compute_needed(account, wanted, promise, jobs), wanted.epoch, line):
        raise JobRefused("channel_exhausted", "LED-6: the deposit left is too little")


def _compute_needed(
    account: ChannelAccount,
    wanted: JobAccount,
    promise: Voucher,
    jobs: Mapping[JobId, JobAccount],
) -> int:
    """What the voucher is over what the base must reach, the payer owes for work that we lost count
    of in a crash. Were it credit, we would work two windows ahead of the next voucher.
    """
    if account.seat.index:
        # MEM-5: what a job may yet need must not be lent away meanwhile.
        others = account.compute_most(promise.lane, wanted.epoch, jobs)
        return others + max(promise.amount, wanted.base + wanted.ceiling)
    others = account.compute_committed(promise.lane, wanted.epoch, jobs)
    return others + max(promise.amount, wanted.base + wanted.window)


def validate_bigger(account: ChannelAccount, held: JobAccount, promise: Voucher, line: int) -> None:
    """LED-4 and LED-6: a job's next voucher is no smaller, and the deposit suffices for it."""
    if promise.amount < account.get_lane(held.lane).amount:
        raise JobRefused("bad_voucher", "LED-4: less than the lane's last voucher")
    latest = account.epoch
    promised = account.compute_promised(held.lane, latest)
    promised += rescale(promise.amount, held.epoch, latest)
    if not account.covers(promised, latest, line):
        raise JobRefused("channel_exhausted", "LED-6: more than the deposit is promised")


def validate_epoch(promise: Voucher, epoch: Epoch, least: Epoch) -> None:
    """LED-3: it is written in the epoch of the price, which is none of the past."""
    if promise.epoch != epoch or epoch < least:
        raise JobRefused("wrong_epoch", "LED-3: not written in the epoch of the price")


def validate_signature(account: ChannelAccount, signed: SignedVoucher, domain: Digest) -> None:
    """LED-8: it is signed by who may. domain: the EIP-712 domain of PaymentChannels."""
    try:
        signer = voucher.recover_signer(signed, domain)
    except RemoteProtocolError as error:
        raise JobRefused("bad_voucher", f"LED-8: {error.message}") from error
    if signer != account.state.voucher_signer:
        raise JobRefused("bad_voucher", "LED-8: not signed by the channel's signer")
