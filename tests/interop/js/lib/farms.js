// protocols/farm: whose certificate is good (FRM-1 to FRM-4)
import { equal } from './bytes.js'
import { Certificate } from './messages.js'
import { as, Broken } from './rules.js'
import { validateEnvelope } from './signatures.js'

/** The membership that a certificate (an envelope) gives a peer from `since` to `until`, both included. */
export function validateCertificate (envelope, member, network, since, until) {
  const certificate = as('FRM-1', () => Certificate.decode(envelope.payload, 256))
  if (!equal(certificate.member, member)) throw new Broken('FRM-2', 'for another peer')
  if (since < certificate.not_before || until > certificate.not_after) throw new Broken('FRM-3', 'its time')
  as('FRM-4', () => validateEnvelope(envelope, 'farm_certificate', network))
  return { farm: envelope.signer, certificate }
}
