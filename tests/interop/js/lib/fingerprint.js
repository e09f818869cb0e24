// protocols/directory, the fingerprint of a set of (key, sequence) pairs (REC-11).
import { sha256 } from '@noble/hashes/sha2.js'
import { shake256 } from '@noble/hashes/sha3.js'
import { ascii, compare, concat, toBytes, toInteger } from './bytes.js'

const P = ascii('modelex/reconcile/1\0')
const MASK = (1n << 2048n) - 1n

export const element = (peer, sequence) =>
  toInteger(shake256(concat(P, peer, toBytes(sequence, 8)), { dkLen: 256 }))

export function fingerprint (elements) {
  let sum = 0n
  for (const one of elements) sum = (sum + one) & MASK
  return sha256(concat(P, toBytes(sum, 256), toBytes(elements.length, 8))).slice(0, 16)
}

/** Whether a key is in the range: `lower` inclusive, `upper` exclusive, empty is past the last. */
export const inRange = (peer, lower, upper) =>
  compare(peer, lower) >= 0 && (upper.length === 0 || compare(peer, upper) < 0)
