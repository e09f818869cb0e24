// A receipt file (protocols/exchange, "Receipt file"), verified offline: EXC-16, EXC-18.
import { equal, unhex, utf8 } from './bytes.js'
import { Request, SignedOwnership, SignedReceipt } from './messages.js'
import { digest712, peerIdOf, publicKeyOf, recover, sha256, validateOwnership } from './signatures.js'
import { hasWeights, requestDigest, validatePromptTokens } from './terms.js'
import * as msgpack from './msgpack.js'
import { bytes16 } from './types.js'

const RECEIPT_FILE_BYTES = 32 * 1024 * 1024
const CLOCK_SKEW_MS = 60_000n

/** A check that failed; `check` is its name. */
export class NotVerified extends Error {
  constructor (check, why) {
    super(`${check}: ${why}`)
    this.check = check
  }
}

const must = (check, holds, why = 'the receipt says otherwise') => {
  if (!holds) throw new NotVerified(check, why)
}

function guard (check, act) {
  try {
    return act()
  } catch (error) {
    throw error instanceof NotVerified ? error : new NotVerified(check, error.message)
  }
}

/** A file's text as {isProvider, peer, receipt, request, completion, ownership}. */
export function decodeReceiptFile (content) {
  must('file', utf8(content).length <= RECEIPT_FILE_BYTES, 'too large')
  return guard('file', () => {
    const file = JSON.parse(content)
    fields(file, ['format', 'version', 'is_provider', 'peer', 'receipt', 'request', 'completion', 'ownership'])
    must('file', file.format === 'modelex receipt' && file.version === 1, 'another format')
    must('file', typeof file.is_provider === 'boolean' && typeof file.completion === 'string', 'fields')
    return {
      isProvider: file.is_provider,
      peer: unhex(file.peer),
      receipt: parse(SignedReceipt, file.receipt),
      request: parse(Request, file.request),
      completion: file.completion,
      ownership: parse(SignedOwnership, file.ownership)
    }
  })
}

function fields (object, names) {
  const isObject = typeof object === 'object' && object !== null && !Array.isArray(object)
  must('file', isObject && Object.keys(object).sort().join() === [...names].sort().join(), 'fields')
}

/** A structure from JSON: as MessagePack values, so that the types' own checks apply. */
function parse (type, json) {
  return type.read(raw(type, json))
}

const AMOUNTS = new Set(['price'])
const FLOATS = new Set(['temperature', 'top_p'])

function raw (type, json) {
  fields(json, Object.keys(type.fields))
  return Object.entries(type.fields).map(([name, field]) => rawField(name, field, json[name]))
}

function rawField (name, field, value) {
  if (field.fields !== undefined) return raw(field, value)
  if (name === 'messages') return value.map((one) => [one.role, one.content])
  if (name === 'stop') return value
  if (AMOUNTS.has(name)) {
    must('file', /^(0|[1-9][0-9]*)$/.test(value), 'an amount')
    return bytes16.read(unhex('0x' + BigInt(value).toString(16).padStart(32, '0')))
  }
  if (FLOATS.has(name)) {
    must('file', typeof value === 'number', 'a number')
    return new msgpack.Float(value)
  }
  if (typeof value === 'number') return BigInt(value)
  return typeof value === 'string' && value.startsWith('0x') && !TEXTS.has(name) ? unhex(value) : value
}

const TEXTS = new Set(['model', 'kind', 'text', 'grammar'])

/** Raises NotVerified, in the order of the page. `now` null: any date passes. */
export function verifyReceiptFile (row, registryDomain, now) {
  const { receipt, signature } = row.receipt
  const { ownership } = row.ownership
  must('peer', equal(receipt.peer, ownership.peer))
  must('request', equal(receipt.request, requestDigest(row.request)))
  must('completion', equal(receipt.completion, sha256(utf8(row.completion))))
  must('weights', hasWeights(receipt, row.request))
  must('tokens', receipt.completion_tokens <= row.request.max_tokens)
  guard('tokens', () => validatePromptTokens(row.request, receipt.prompt_tokens))
  must('date', receipt.finished_at <= ownership.not_after)
  const signer = guard('signature', () => recover(digest712('Receipt', receipt, registryDomain), signature))
  must('signature', equal(signer, ownership.delegate), 'not by the delegate')
  must('peer', row.isProvider || equal(row.peer, peerIdOf(receipt.peer)), 'by another provider')
  must('date', now === null || receipt.finished_at <= now + CLOCK_SKEW_MS, 'from the future')
  guard('ownership', () => validateOwnership(row.ownership, publicKeyOf(peerIdOf(receipt.peer)), registryDomain, receipt.finished_at))
}
