// protocols/directory: is an advertisement, an announcement good? (ADV-1 to ADV-13, ADV-17, ANN-1 to ANN-5)
import { isIPv4, isIPv6 } from 'node:net'
import { equal, hex } from './bytes.js'
import { validateCertificate } from './farms.js'
import { Advertisement, Announcements } from './messages.js'
import { as, Broken } from './rules.js'
import { decodeEnvelope, validateEnvelope, validateOwnership } from './signatures.js'

export const ADVERTISEMENT_BYTES = 4096
export const CLOCK_SKEW_MS = 60_000n
const UPDATE_INTERVAL_MS = 1000n
const GOSSIP_MESSAGE_BYTES = 16 * 1024
const ORIGIN_BURST = 16
const ORIGIN_RATE_MS = 1000

/** What the reader is: its network id, the registry's EIP-712 separator. */
export class Judge {
  #known = new Map() // signer in hexadecimal -> {advertisement, encoded, accepted}
  #origins = new Map() // origin -> [tokens, when]

  constructor (network, registryDomain) {
    this.network = network
    this.registryDomain = registryDomain
  }

  known (peer) { return this.#known.get(hex(peer)) }
  all () { return [...this.#known.values()] }

  /** Take an advertisement over; raises the rule that it breaks. `expected`: a public key. */
  take (encoded, now, expected = null) {
    now = BigInt(now)
    if (encoded.length > ADVERTISEMENT_BYTES) throw new Broken('ADV-1', 'too long')
    const envelope = as('ADV-2', () => decodeEnvelope(encoded))
    const { signer } = envelope
    if (expected !== null && !equal(expected, signer)) throw new Broken('ADV-3', 'another peer')
    const advertisement = as('ADV-4', () => Advertisement.decode(envelope.payload))
    const known = this.known(signer)
    validateTime(advertisement, now)
    if (known !== undefined) validateNews(advertisement, encoded, known, now)
    for (const address of advertisement.addresses) validateAddress(address)
    validateOffers(advertisement)
    this.#validateAccounts(advertisement, signer)
    this.#validateFarms(advertisement, signer)
    as('ADV-12', () => validateEnvelope(envelope, 'advertisement', this.network))
    if (known !== undefined && known.advertisement.sequence === advertisement.sequence) {
      throw new Broken('ADV-13', 'two with one sequence')
    }
    const entry = { signer, advertisement, encoded, accepted: now }
    this.#known.set(hex(signer), entry)
    return entry
  }

  #validateAccounts ({ accounts, sequence, ttl_ms: ttl }, signer) {
    const operators = new Set(accounts.map(({ ownership }) => hex(ownership.operator)))
    if (operators.size < accounts.length) throw new Broken('ADV-11', 'an operator twice')
    const end = sequence + BigInt(ttl)
    for (const proof of accounts) {
      as('ADV-11', () => validateOwnership(proof, signer, this.registryDomain, end))
    }
  }

  #validateFarms ({ farms, sequence, ttl_ms: ttl }, member) {
    const owners = new Set(farms.map(({ signer }) => hex(signer)))
    if (owners.size < farms.length) throw new Broken('ADV-17', 'a farm twice')
    const end = sequence + BigInt(ttl) - 1n
    for (const certificate of farms) {
      as('ADV-17', () => validateCertificate(certificate, member, this.network, sequence, end))
    }
  }

  /** Judge a gossip payload of `origin`; gives the Announcements or raises. */
  judgeAnnouncements (payload, origin, now) {
    if (payload.length > GOSSIP_MESSAGE_BYTES) throw new Broken('ANN-1', 'too long')
    const { items } = as('ANN-2', () => Announcements.decode(payload))
    if (new Set(items.map(({ peer }) => hex(peer))).size < items.length) {
      throw new Broken('ANN-3', 'a peer twice')
    }
    const [tokens, when] = this.#origins.get(origin) ?? [ORIGIN_BURST, now]
    const left = Math.min(ORIGIN_BURST, tokens + (now - when) / ORIGIN_RATE_MS)
    if (left < 1) throw new Broken('ANN-4', 'too often')
    this.#origins.set(origin, [left - 1, now])
    if (items.some(({ sequence }) => sequence > BigInt(now) + CLOCK_SKEW_MS)) {
      throw new Broken('ANN-5', 'from the future')
    }
    return items
  }
}

const isWithdrawal = ({ offers, addresses }) => offers.length === 0 && addresses.length === 0

function validateTime ({ sequence, ttl_ms: ttl }, now) {
  if (sequence > now + CLOCK_SKEW_MS) throw new Broken('ADV-5', 'from the future')
  if (sequence + BigInt(ttl) <= now) throw new Broken('ADV-6', 'expired')
}

function validateNews (advertisement, encoded, known, now) {
  if (advertisement.sequence < known.advertisement.sequence || equal(encoded, known.encoded)) {
    throw new Broken('ADV-7', 'not new')
  }
  const isUrgent = isWithdrawal(advertisement) && !isWithdrawal(known.advertisement)
  if (!isUrgent && now < known.accepted + UPDATE_INTERVAL_MS) throw new Broken('ADV-8', 'too soon')
}

function validateOffers ({ offers, addresses }) {
  const must = (holds, why) => { if (!holds) throw new Broken('ADV-10', why) }
  must(offers.length === 0 || addresses.length > 0, 'nowhere to dial')
  must(new Set(offers.map(({ model }) => model)).size === offers.length, 'a model twice')
  for (const { features, kinds, max_tokens: most, context_length: context } of offers) {
    must(features.every((one, at) => at === 0 || features[at - 1] < one), 'features unsorted')
    must(new Set(kinds).size === kinds.length, 'a kind twice')
    must(most >= 1 && most <= context, 'max_tokens')
  }
}

const LABEL = /^(?!-)[A-Za-z0-9_-]{1,63}(?<!-)$/
const isName = (value) => value.length <= 253 && value.replace(/\.$/, '').split('.').every((one) => LABEL.test(one))
const isNumber = (most) => (value) => /^(0|[1-9][0-9]{0,19})$/.test(value) && BigInt(value) <= most
const isText = (value) => /^[A-Za-z0-9._:%+=-]+$/.test(value)
const isPort = isNumber(65_535n)
const COMPONENTS = {
  ip4: isIPv4,
  ip6: (value) => isIPv6(value) && !value.includes('%'),
  dns: isName,
  dns4: isName,
  dns6: isName,
  dnsaddr: isName,
  sni: isName,
  tcp: isPort,
  udp: isPort,
  memory: isNumber((1n << 64n) - 1n),
  certhash: isText,
  p2p: isText
}
const BARE = ['ws', 'wss', 'tls', 'noise', 'quic-v1', 'webtransport', 'webrtc-direct', 'p2p-circuit']
const FIRST = ['ip4', 'ip6', 'dns', 'dns4', 'dns6', 'dnsaddr', 'memory']

/** ADV-9. */
export function validateAddress (address) {
  const must = (holds) => { if (!holds) throw new Broken('ADV-9', address) }
  const [empty, ...parts] = address.split('/')
  must(empty === '' && FIRST.includes(parts[0]))
  let last
  for (let at = 0; at < parts.length; at++) {
    last = parts[at]
    if (BARE.includes(last)) continue
    must(Object.hasOwn(COMPONENTS, last) && at + 1 < parts.length && COMPONENTS[last](parts[++at]))
  }
  must(last !== 'p2p')
}
