// Ed25519 envelopes and EIP-712 statements (protocols/records: ENV, EIP712, OWN).
import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto'
import { ed25519 } from '@noble/curves/ed25519.js'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { keccak_256 as keccak } from '@noble/hashes/sha3.js'
import { ascii, concat, equal, toBytes, toInteger, unhex, utf8 } from './bytes.js'
import { Envelope } from './messages.js'
import { Broken } from './rules.js'

export { sha256, keccak }

// ---- identity

const PEER_ID_HEAD = unhex('0x002408011220')
export const peerIdOf = (publicKey) => concat(PEER_ID_HEAD, publicKey)
export const publicKeyOf = (peerId) => peerId.slice(6)

/** An Ed25519 key from its 32-byte seed (RFC 8032). */
export function peerKey (seed) {
  const publicKey = ed25519.getPublicKey(seed)
  const der = concat(unhex('0x302e020100300506032b657004220420'), seed)
  const key = createPrivateKey({ key: Buffer.from(der), format: 'der', type: 'pkcs8' })
  return { seed, publicKey, sign: (content) => new Uint8Array(sign(null, content, key)) }
}

// ---- envelopes

/** ENV-3. */
export const networkId = (chainId, registry) =>
  sha256(concat(ascii('modelex/network'), toBytes(chainId, 8), registry))

/** ENV-1: `modelex/1`, 0, domain, 0, network id, payload. */
export const signingInput = (domain, network, payload) =>
  concat(ascii('modelex/1\0'), ascii(domain), ascii('\0'), network, payload)

export function seal (key, domain, network, payload) {
  const signature = key.sign(signingInput(domain, network, payload))
  return { signer: key.publicKey, payload, signature }
}

/** ENV-2: refuse points of small order, then check the equation without cofactor, as OpenSSL does. */
export function validateEnvelope (envelope, domain, network) {
  const input = signingInput(domain, network, envelope.payload)
  const isGood = isGoodPoint(envelope.signer) && isGoodPoint(envelope.signature.slice(0, 32))
  if (!isGood || !verifyEd25519(envelope, input)) {
    throw new Broken('ENV-2', 'the signature is not good')
  }
}

function isGoodPoint (encoded) {
  try {
    return !ed25519.Point.fromBytes(encoded).isSmallOrder()
  } catch {
    return false
  }
}

function verifyEd25519 (envelope, input) {
  const der = concat(unhex('0x302a300506032b6570032100'), envelope.signer)
  const key = createPublicKey({ key: Buffer.from(der), format: 'der', type: 'spki' })
  return verify(null, input, key, envelope.signature)
}

export const decodeEnvelope = (encoded, limit) => Envelope.decode(encoded, limit)

// ---- EIP-712

const NAME = keccak(utf8('Modelex'))
const VERSION = keccak(utf8('1'))
const DOMAIN = keccak(utf8(
  'EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)'))

/** EIP712-2. */
export const domainSeparator = (chainId, contract) =>
  keccak(concat(DOMAIN, NAME, VERSION, toBytes(chainId, 32), left(contract)))

const left = (bytes) => concat(new Uint8Array(32 - bytes.length), bytes)
const right = (bytes) => concat(bytes, new Uint8Array(32 - bytes.length))
const number = (value) => toBytes(value, 32)
const word = (bytes) => bytes

/** EIP712-3: for each statement its type string and how each field becomes a word. */
const STATEMENTS = {
  Voucher: ['Voucher(bytes32 channel,uint32 lane,uint128 amount,uint16 epoch)',
    { channel: word, lane: number, amount: number, epoch: number }],
  Receipt: ['Receipt(bytes16 job,bytes32 peer,bytes32 request,bytes32 completion,bytes32 weights,' +
    'bytes32 engine,uint32 promptTokens,uint32 completionTokens,uint128 price,uint16 epoch,' +
    'bytes32 channel,uint32 lane,uint64 finishedAt,uint8 finish)',
  {
    job: right,
    peer: word,
    request: word,
    completion: word,
    weights: word,
    engine: word,
    prompt_tokens: number,
    completion_tokens: number,
    price: number,
    epoch: number,
    channel: word,
    lane: number,
    finished_at: number,
    finish: number
  }],
  Ownership: ['Ownership(bytes32 peer,address operator,address delegate,uint64 notAfter)',
    { peer: word, operator: left, delegate: left, not_after: number }]
}

export const typeString = (kind) => STATEMENTS[kind][0]

export function structHash (kind, statement) {
  const [type, fields] = STATEMENTS[kind]
  const words = Object.entries(fields).map(([field, as]) => as(statement[field]))
  return keccak(concat(keccak(utf8(type)), ...words))
}

export const digest712 = (kind, statement, separator) =>
  keccak(concat(unhex('0x1901'), separator, structHash(kind, statement)))

/** EIP712-4: the id of the channel with these terms {payer, payee, signer, salt}. */
export const channelId = ({ payer, payee, signer, salt }, separator) =>
  keccak(concat(separator, left(payer), left(payee), left(signer), salt))

// ---- secp256k1

const addressOfPoint = (point) => keccak(point.toBytes(false).slice(1)).slice(12)

export function accountKey (secret) {
  const address = addressOfPoint(secp256k1.Point.fromBytes(secp256k1.getPublicKey(secret)))
  return { secret, address }
}

/** r | s | recovery bit, s in the lower half. */
export function signDigest (account, digest) {
  const raw = secp256k1.sign(digest, account.secret, { prehash: false, format: 'recovered' })
  return { r: raw.slice(1, 33), s: raw.slice(33), bit: raw[0] }
}

/** r | s | v (EIP712-1). */
export function signStatement (account, kind, statement, separator) {
  const { r, s, bit } = signDigest(account, digest712(kind, statement, separator))
  return concat(r, s, Uint8Array.of(27 + bit))
}

/** The account that signed. Raises EIP712-1. */
export function recover (digest, signature) {
  const bad = (why) => new Broken('EIP712-1', why)
  if (signature.length !== 65) throw bad('not 65 bytes')
  if (signature[64] !== 27 && signature[64] !== 28) throw bad('v')
  const order = secp256k1.Point.Fn.ORDER
  const [r, s] = [toInteger(signature.slice(0, 32)), toInteger(signature.slice(32, 64))]
  if (r === 0n || r >= order) throw bad('r')
  if (s === 0n || s > order / 2n) throw bad('s')
  try {
    const parsed = secp256k1.Signature.fromBytes(signature.slice(0, 64), 'compact')
    return addressOfPoint(parsed.addRecoveryBit(signature[64] - 27).recoverPublicKey(digest))
  } catch {
    throw bad('no key signs so')
  }
}

/** OWN-1 to OWN-3 of a SignedOwnership, for `peer` (public key) at a moment. */
export function validateOwnership (signed, peer, registryDomain, moment) {
  const { ownership, signature } = signed
  if (!equal(ownership.peer, peer)) throw new Broken('OWN-1', 'of another peer')
  if (ownership.not_after < moment) throw new Broken('OWN-2', 'it has ended')
  const account = recover(digest712('Ownership', ownership, registryDomain), signature)
  if (!equal(account, ownership.operator)) throw new Broken('OWN-3', 'by somebody else')
}
