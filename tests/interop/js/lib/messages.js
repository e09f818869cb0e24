// The message tables of protocols/: fields in the order of the wire.
import {
  amount, bytes, bytes16, bytes20, bytes32, bytes65, decodeOneOf, float, integer, list, message, name,
  oneOf, printable, text, u16, u32, u64, union
} from './types.js'

// records
export const Envelope = message('Envelope', null, {
  signer: bytes32, payload: bytes(0, Infinity), signature: bytes(64)
})
export const Ownership = message('Ownership', null, {
  peer: bytes32, operator: bytes20, delegate: bytes20, not_after: u64
})
export const SignedOwnership = message('SignedOwnership', null, {
  ownership: Ownership, signature: bytes65
})
export const Voucher = message('Voucher', null, { channel: bytes32, lane: u32, amount, epoch: u16 })
export const SignedVoucher = message('SignedVoucher', null, { voucher: Voucher, signature: bytes65 })
export const Receipt = message('Receipt', null, {
  job: bytes16,
  peer: bytes32,
  request: bytes32,
  completion: bytes32,
  weights: bytes32,
  engine: bytes32,
  prompt_tokens: u32,
  completion_tokens: u32,
  price: amount,
  epoch: u16,
  channel: bytes32,
  lane: u32,
  finished_at: u64,
  finish: oneOf(0, 1, 2)
})
export const SignedReceipt = message('SignedReceipt', null, { receipt: Receipt, signature: bytes65 })

// ledger
export const PayerTerms = message('PayerTerms', null, { payer: bytes20, signer: bytes20, salt: bytes32 })
export const ChannelState = message('ChannelState', null, {
  channel: bytes32,
  payer: bytes20,
  payee: bytes20,
  signer: bytes20,
  salt: bytes32,
  deposit: amount,
  claimed: amount,
  epoch: u16,
  closes_at: u64
})

// farm
const farmName = text(32, 1, /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/)
export const Certificate = message('Certificate', null, {
  name: farmName,
  member: bytes32,
  payee: bytes20,
  index: integer(65_535, 1),
  weight: integer(10_000, 1),
  serial: u32,
  not_before: u64,
  not_after: u64
})
const farmRecord = bytes(0, 4096)
export const FarmRecord = message('FarmRecord', null, {
  name: farmName,
  sequence: u64,
  ttl_ms: integer(2_592_000_000, 10_000),
  payee: bytes20,
  revoked: list(u32, 512)
})
export const FarmQuestion = message('FarmQuestion', 1, { farm: bytes32, record: farmRecord })
export const FarmAnswer = message('FarmAnswer', 2, { record: farmRecord })

// directory
const kind = oneOf('chat', 'completion', 'score', 'embedding')
export const Offer = message('Offer', null, {
  model: name,
  weights: bytes32,
  kinds: list(kind, 4, 1),
  context_length: u32,
  max_tokens: u32,
  features: list(name, 16),
  prompt_price: amount,
  completion_price: amount,
  epoch: u16,
  credit_tokens: u32,
  deferred_discount: integer(10_000)
})
export const Advertisement = message('Advertisement', null, {
  sequence: u64,
  ttl_ms: integer(86_400_000, 10_000),
  agent: name,
  addresses: list(printable(256), 8),
  offers: list(Offer, 16),
  accounts: list(SignedOwnership, 4),
  section: oneOf(0, 1, 2),
  farms: list(Envelope, 4),
  evidence: bytes32
})
export const Announcement = message('Announcement', null, {
  peer: bytes32, sequence: u64, change: oneOf(0, 1, 2)
})
export const Announcements = message('Announcements', null, { items: list(Announcement, 64, 1) })

const bound = bytes(0, 32)
export const Range = message('Range', null, {
  lower: bound, upper: bound, count: u32, fingerprint: bytes16
})
export const Held = message('Held', null, { peer: bytes32, sequence: u64 })
export const Split = message('Split', 1, { parts: list(Range, 16, 2) })
export const Listing = message('Listing', 2, { lower: bound, upper: bound, items: list(Held, 1000) })
const envelopes = list(bytes(0, 4096), 64)
export const Compare = message('Compare', 1, { ranges: list(Range, 256, 1) })
export const Fetch = message('Fetch', 2, { peers: list(bytes32, 64, 1) })
export const Offered = message('Offered', 3, { envelopes })
const bounds = message('Bounds', null, { lower: bound, upper: bound })
export const Pull = message('Pull', 4, { ranges: list(bounds, 256, 1) })
export const Compared = message('Compared', 16, {
  answered: u32, differences: list(union(Split, Listing), 256)
})
export const Records = message('Records', 17, { envelopes })
export const Took = message('Took', 18, { accepted: u32 })

export const Pulled = message('Pulled', 19, { envelopes, rest: bytes(0, 32) })

export const RECONCILE_FRAME_BYTES = 512 * 1024
const QUESTIONS = [Compare, Fetch, Offered, Pull]
const ANSWERS = [Compared, Records, Took, Pulled]
export const decodeQuestion = (frame) => decodeOneOf(QUESTIONS, frame, RECONCILE_FRAME_BYTES)
export const decodeAnswer = (frame) => decodeOneOf(ANSWERS, frame, RECONCILE_FRAME_BYTES)

// exchange
const prompt = text(196_608)
export const Turn = message('Message', null, {
  role: oneOf('system', 'user', 'assistant'), content: prompt
})
export const Request = message('Request', null, {
  model: name,
  weights: bytes32,
  kind,
  text: prompt,
  messages: list(Turn, 256),
  max_tokens: integer(65_536, 1),
  temperature: float((value) => value >= 0 && value <= 2),
  top_p: float((value) => value > 0 && value <= 1),
  top_k: u32,
  seed: u64,
  stop: list(text(64, 1), 8),
  grammar: text(8192)
})
export const Quote = message('Quote', null, {
  job: bytes16,
  request: bytes32,
  weights: bytes32,
  prompt_tokens: u32,
  max_tokens: u32,
  prompt_price: amount,
  completion_price: amount,
  epoch: u16,
  window: amount,
  payee: bytes20,
  valid_until: u64
})

const job = bytes16
const voucher = SignedVoucher
const terms = PayerTerms
const reason = text(512)
const refusal = oneOf(
  'unknown_model', 'unsupported', 'prompt_too_long', 'price_changed', 'over_ceiling', 'busy',
  'no_channel', 'channel_exhausted', 'lane_in_use', 'bad_voucher', 'debt', 'quote_expired',
  'wrong_epoch', 'shutting_down')
const failure = oneOf('engine', 'unpaid', 'timeout', 'shutting_down', 'internal')

export const Ask = message('Ask', 1, { job, request: Request })
export const Order = message('Order', 2, {
  job, request: Request, prompt_price: amount, completion_price: amount, max_cost: amount, terms, voucher, base: amount
})
export const Accept = message('Accept', 3, { job, quote: bytes32, terms, voucher, base: amount })
export const Pay = message('Pay', 4, { job, voucher })
export const Cancel = message('Cancel', 5, { job })
export const Quoted = message('Quoted', 16, { job, quote: Envelope })
export const Started = message('Started', 17, { job, prompt_tokens: u32, window: amount })
export const Chunk = message('Chunk', 18, { job, index: u32, text: text(16_384), tokens: u32 })
export const Finished = message('Finished', 19, { job, receipt: SignedReceipt })
export const Refused = message('Refused', 20, { job, code: refusal, reason, retry_after_ms: u32 })
export const Failed = message('Failed', 21, { job, code: failure, reason })

export const EXCHANGE_FRAME_BYTES = 256 * 1024
export const FROM_REQUESTER = [Ask, Order, Accept, Pay, Cancel]
export const FROM_PROVIDER = [Quoted, Started, Chunk, Finished, Refused, Failed]

// members
const splitEpoch = integer(20)
export const ServedPayer = message('ServedPayer', null, { payer: bytes20, tokens: u32 })
export const SpareLine = message('SpareLine', null, {
  channel: bytes32,
  spare: amount,
  epoch: splitEpoch
})
export const Told = message('Told', 1, {
  farm: bytes32,
  wait_ms: u32,
  served: list(ServedPayer, 32),
  spares: list(SpareLine, 32)
})
export const Borrow = message('Borrow', 2, {
  farm: bytes32,
  terms: PayerTerms,
  have: amount,
  want: amount,
  epoch: splitEpoch
})
export const Lent = message('Lent', 3, { given: amount, epoch: splitEpoch })

// routing
export const PROBE_FRAME_BYTES = 64
export const Probe = message('Probe', 1, { nonce: u64 })
export const Load = message('Load', 2, {
  nonce: u64, running: u32, waiting: u32, slots: u32, latency_ms: u32
})
