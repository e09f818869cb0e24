// protocols/farm: whose certificate, which record is good (FRM-1 to FRM-10, FRM-12)
import { equal, hex } from './bytes.js'
import { Certificate, FarmRecord } from './messages.js'
import { as, Broken } from './rules.js'
import { decodeEnvelope, validateEnvelope } from './signatures.js'

const FARM_RECORD_BYTES = 4096
const CLOCK_SKEW_MS = 60_000n

/** The membership that a certificate (an envelope) gives a peer from `since` to `until`, both included. */
export function validateCertificate (envelope, member, network, since, until) {
  const certificate = as('FRM-1', () => Certificate.decode(envelope.payload, 256))
  if (!equal(certificate.member, member)) throw new Broken('FRM-2', 'for another peer')
  if (since < certificate.not_before || until > certificate.not_after) throw new Broken('FRM-3', 'its time')
  as('FRM-4', () => validateEnvelope(envelope, 'farm_certificate', network))
  return { farm: envelope.signer, certificate }
}

/** The newest record of each farm. */
export class FarmBook {
  #held = new Map() // farm's key in hexadecimal -> record

  constructor (network) { this.network = network }

  /** Take a record over; raises the rule that it breaks. `expected`: a farm's key. */
  take (encoded, now, expected = null) {
    now = BigInt(now)
    if (encoded.length > FARM_RECORD_BYTES) throw new Broken('FRM-5', 'too long')
    const envelope = as('FRM-5', () => decodeEnvelope(encoded))
    const { signer } = envelope
    const record = as('FRM-5', () => FarmRecord.decode(envelope.payload))
    if (expected !== null && !equal(expected, signer)) throw new Broken('FRM-6', 'another farm')
    if (record.revoked.some((serial, at) => at > 0 && record.revoked[at - 1] >= serial)) throw new Broken('FRM-7', 'order')
    if (record.sequence > now + CLOCK_SKEW_MS) throw new Broken('FRM-8', 'from the future')
    if (record.sequence + BigInt(record.ttl_ms) <= now) throw new Broken('FRM-9', 'expired')
    const known = this.#held.get(hex(signer))
    if (known !== undefined && record.sequence <= known.sequence) throw new Broken('FRM-10', 'not new')
    as('FRM-12', () => validateEnvelope(envelope, 'farm', this.network))
    this.#held.set(hex(signer), record)
    return record
  }
}
