// protocols/anchoring: what is anchored (ANC-1), and what the registry makes of a peer (ANC-5 to 8).
import { createHash } from 'node:crypto'
import { ascii, compare, concat, hex } from './bytes.js'
import { Offer } from './messages.js'
import * as msgpack from './msgpack.js'

const SECTIONS = ['registered', 'whitelisted', 'suspended']
const RANK = ['unregistered', ...SECTIONS]

/** ANC-1: the digest of an advertisement's substance. */
export function anchorOf (advertisement) {
  const { addresses, offers, accounts, farms, evidence } = advertisement
  const substance = [
    [...addresses].sort((one, other) => compare(ascii(one), ascii(other))),
    offers.map(Offer.write),
    accounts.map(({ ownership }) => [ownership.operator, ownership.delegate]),
    farms.map(({ signer }) => signer),
    evidence
  ]
  const digested = concat(ascii('modelex/anchor/1\0'), msgpack.encode(substance))
  return new Uint8Array(createHash('sha256').update(digested).digest())
}

/** Entries as vectors write them, by peer and operator. */
export class Registry {
  #entries = new Map()
  #before = []

  entry (peer, operator) { return this.#entries.get(peer + operator) }
  note (entry) { this.#set(entry.peer, entry.operator, entry) }

  /** ANC-8 */
  fold (event) {
    if (event.undone) {
      for (const [peer, operator, entry] of this.#before.pop()) this.#set(peer, operator, entry)
      return
    }
    const after = this.#after(event)
    this.#before.push(after.map(([peer, operator]) => [peer, operator, this.entry(peer, operator)]))
    for (const [peer, operator, entry] of after) this.#set(peer, operator, entry)
  }

  #after ({ kind, peer, operator, successor, digest, sequence, section }) {
    const held = this.entry(peer, operator) ?? { digest: '', sequence: '0', section: 0 }
    switch (kind) {
      case 'Registered': return [[peer, operator, { digest, sequence, section: 0 }]]
      case 'Updated': return [[peer, operator, { ...held, digest, sequence }]]
      case 'Deregistered': return [[peer, operator, undefined]]
      case 'HandedOver': return [[peer, operator, undefined], [peer, successor, { ...held, section: 0 }]]
      case 'SectionChanged': return [[peer, operator, { ...held, section }]]
      default: throw new Error(`no event ${kind}`)
    }
  }

  #set (peer, operator, entry) {
    if (entry === undefined) this.#entries.delete(peer + operator)
    else this.#entries.set(peer + operator, entry)
  }
}

/** ANC-5 to ANC-7, of an advertisement whose proofs are good. */
export function markOf (registry, peer, advertisement) {
  let mark = { standing: 'unregistered', anchor: 'none', operator: '' }
  for (const { ownership } of advertisement.accounts) {
    const operator = hex(ownership.operator)
    const entry = registry.entry(peer, operator)
    if (entry === undefined) continue
    const standing = SECTIONS[entry.section]
    if (RANK.indexOf(standing) <= RANK.indexOf(mark.standing)) continue
    const isNothing = /^(0x0*)?$/.test(entry.digest)
    const isCurrent = entry.digest === hex(anchorOf(advertisement))
    const isNewer = BigInt(entry.sequence) > advertisement.sequence
    const held = isCurrent ? 'current' : isNewer ? 'newer' : 'older'
    mark = { standing, anchor: isNothing ? 'none' : held, operator }
  }
  return mark
}
