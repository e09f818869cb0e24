// A payee's books of channels, lanes and vouchers (protocols/ledger, LED-1 to LED-8).
import { equal, hex } from './bytes.js'
import { as, Broken } from './rules.js'
import { channelId, digest712, recover } from './signatures.js'

const LANES_MAX = 64

/** A voucher that is refused: `rule` of the ledger, `code` and `reason` of the refusal. */
export class NotPaid extends Broken {
  constructor (rule, code, reason = code) {
    super(rule, reason)
    this.code = code
    this.reason = reason
  }
}

export class Payee {
  #channels = new Map()

  constructor (account, channelsDomain) {
    this.account = account
    this.domain = channelsDomain
  }

  /** LED-12: the whole terms of the channel that a first voucher is of. Raises NotPaid. */
  identify ({ payer, signer, salt }, { voucher }) {
    const terms = { payer, payee: this.account, signer, salt }
    if (!equal(channelId(terms, this.domain), voucher.channel)) throw new NotPaid('LED-12', 'bad_voucher')
    return terms
  }

  /** A ChannelState as the chain has it now. */
  note (state) {
    const lanes = this.#channels.get(hex(state.channel))?.lanes ?? new Map()
    this.#channels.set(hex(state.channel), { state, lanes })
  }

  /** The newest vouchers with the terms of their channels, for redeeming. */
  claims () {
    return [...this.#channels.values()].flatMap(({ state, lanes }) =>
      [...lanes.values()].map((lane) => ({ terms: state, signed: lane.newest })))
  }

  /** Open a lane for a job {epoch, window, ceiling}; gives its account, or raises NotPaid. */
  open (signed, base, job) {
    const { voucher } = signed
    const channel = this.#channels.get(hex(voucher.channel))
    if (channel === undefined || channel.state.closes_at !== 0n || !equal(channel.state.payee, this.account)) {
      throw new NotPaid('LED-1', 'no_channel')
    }
    if (voucher.lane >= LANES_MAX) throw new NotPaid('LED-2', 'bad_voucher')
    const lane = channel.lanes.get(voucher.lane) ?? { amount: 0n, earned: 0n, job: null, newest: null }
    validateEpoch(voucher, job, [...channel.lanes.values()])
    if (voucher.amount < lane.amount) throw new NotPaid('LED-4', 'bad_voucher')
    if (lane.job !== null && !lane.job.isReceipted) throw new NotPaid('LED-5', 'lane_in_use')
    const others = [...channel.lanes].filter(([number]) => number !== voucher.lane).map(([, one]) => one)
    const debts = others.filter((one) => one.job === null).map(debtOf)
    const due = lane.earned + debts.reduce((sum, debt) => sum + debt, 0n)
    if (base > voucher.amount) throw new NotPaid('LED-7', 'bad_voucher')
    if (base < due) throw new NotPaid('LED-7', 'debt', `earned=${due}`)
    validateDeposit(channel.state, voucher, { ...job, due }, others)
    this.#validateSignature(signed, channel.state)
    for (const one of others) if (one.job === null && debtOf(one) > 0n) one.earned = one.amount
    Object.assign(lane, { amount: voucher.amount, earned: due, newest: signed })
    lane.job = { ...job, due, isReceipted: false }
    channel.lanes.set(voucher.lane, lane)
    return lane
  }

  /** A later voucher of the job that holds `lane`. Raises NotPaid. */
  renew (lane, signed) {
    const { voucher } = signed
    const { state } = this.#channels.get(hex(lane.newest.voucher.channel))
    const before = lane.newest.voucher
    if (!equal(voucher.channel, before.channel) || voucher.lane !== before.lane) throw new NotPaid('LED-5', 'lane_in_use')
    if (voucher.epoch !== before.epoch) throw new NotPaid('LED-3', 'wrong_epoch')
    if (voucher.amount < lane.amount) throw new NotPaid('LED-4', 'bad_voucher')
    const lanes = [...this.#channels.get(hex(voucher.channel)).lanes.values()]
    const promised = lanes.reduce((sum, one) => sum + (one === lane ? voucher.amount : one.amount), 0n)
    if (promised > state.deposit) throw new NotPaid('LED-6', 'channel_exhausted')
    this.#validateSignature(signed, state)
    Object.assign(lane, { amount: voucher.amount, newest: signed })
  }

  /** The job that holds `lane` is over; what it earned is in lane.earned. */
  release (lane) { lane.job = null }

  #validateSignature ({ voucher, signature }, state) {
    let signer
    try {
      signer = as('LED-8', () => recover(digest712('Voucher', voucher, this.domain), signature))
    } catch (error) {
      throw new NotPaid('LED-8', 'bad_voucher', error.message)
    }
    const isPayers = state.signer.every((byte) => byte === 0)
    if (!equal(signer, isPayers ? state.payer : state.signer)) throw new NotPaid('LED-8', 'bad_voucher')
  }
}

const debtOf = ({ earned, amount }) => (earned > amount ? earned - amount : 0n)

function validateEpoch (voucher, job, lanes) {
  const isLate = (lane) => lane.newest !== null && lane.newest.voucher.epoch > job.epoch
  if (voucher.epoch !== job.epoch || lanes.some(isLate)) throw new NotPaid('LED-3', 'wrong_epoch')
}

/** LED-6: vouchers, what running jobs may come to be owed, this job's window beyond what is prepaid. */
function validateDeposit (state, voucher, job, others) {
  const prepaid = voucher.amount - job.due
  let needed = voucher.amount + (job.window > prepaid ? job.window - prepaid : 0n)
  for (const one of others) {
    needed += one.amount
    if (one.job === null || one.job.isReceipted) {
      needed += debtOf(one)
      continue
    }
    const left = one.job.ceiling - (one.amount - one.job.due)
    needed += one.job.window < left ? one.job.window : left
  }
  // The chain may have written the channel in a later epoch.
  const splits = BigInt(Math.max(0, state.epoch - voucher.epoch))
  if (needed << splits > state.deposit) throw new NotPaid('LED-6', 'channel_exhausted')
}
