// Reconciling two directories over /modelex/reconcile/1 (protocols/directory).
import { compare, equal, hex } from './bytes.js'
import { element, fingerprint, inRange } from './fingerprint.js'
import {
  Compare, Compared, decodeAnswer, decodeQuestion, Fetch, Offered, Pull, Pulled, Records, Took
} from './messages.js'
import { Broken } from './rules.js'

export const RECONCILE = '/modelex/reconcile/1'
const FEW = 16
const PARTS = 16
const BATCH = 64
const RANGES_MAX = 256
const ROUNDS_MAX = 64
const NONE = new Uint8Array(0)

/** What a Judge holds, by key; elements are computed once. */
class Pairs {
  constructor (judge) {
    this.entries = judge.all().sort((a, b) => compare(a.signer, b.signer))
    for (const entry of this.entries) {
      entry.element ??= element(entry.signer, entry.advertisement.sequence)
    }
  }

  within ({ lower, upper }) { return this.entries.filter(({ signer }) => inRange(signer, lower, upper)) }

  range (lower, upper) {
    const inside = this.within({ lower, upper })
    return { lower, upper, count: inside.length, fingerprint: fingerprint(inside.map((one) => one.element)) }
  }

  differs (range) {
    const own = this.range(range.lower, range.upper)
    return own.count !== range.count || !equal(own.fingerprint, range.fingerprint)
  }
}

const expires = ({ advertisement }) => advertisement.sequence + BigInt(advertisement.ttl_ms)

// ---- the responder

/** REC-3: not empty, in order, without overlap. */
function validateOrder (ranges) {
  for (const [at, { lower, upper }] of ranges.entries()) {
    const isEmpty = upper.length > 0 && compare(lower, upper) >= 0
    const previous = ranges[at - 1]
    const overlaps = at > 0 && (previous.upper.length === 0 || compare(previous.upper, lower) > 0)
    if (isEmpty || overlaps) throw new Broken('REC-3', 'ranges')
  }
}

/** The answer to a question frame. `judge` holds the directory; `now`: unix ms. */
export function answer (judge, frame, now) {
  const question = decodeQuestion(frame)
  if (question.is === 'Compare') return Compared.encode(compareRanges(judge, question.ranges))
  if (question.is === 'Pull') return Pulled.encode(pull(judge, question.ranges, now))
  if (question.is === 'Fetch') {
    const found = question.peers.map((peer) => judge.known(peer)).filter((one) => one !== undefined)
    return Records.encode({ envelopes: found.map(({ encoded }) => encoded) })
  }
  return Took.encode({ accepted: takeAll(judge, question.envelopes, now).length })
}

function compareRanges (judge, ranges) {
  validateOrder(ranges)
  const pairs = new Pairs(judge)
  const differences = ranges.filter((range) => pairs.differs(range)).map(({ lower, upper }) => {
    const inside = pairs.within({ lower, upper })
    return inside.length <= FEW
      ? { is: 'Listing', lower, upper, items: inside.map(held) }
      : { is: 'Split', parts: split(pairs, inside, lower, upper) }
  })
  return { answered: ranges.length, differences }
}

const held = ({ signer, advertisement }) => ({ peer: signer, sequence: advertisement.sequence })

/** Parts of about one size; a bound is the key that the part begins with. */
function split (pairs, inside, lower, upper) {
  const bounds = [lower]
  for (let part = 1; part < PARTS; part++) bounds.push(inside[Math.floor(inside.length * part / PARTS)].signer)
  return bounds.map((bound, at) => pairs.range(bound, bounds[at + 1] ?? upper))
}

/** Advertisements that have not expired, by key, a batch of them, and the key of the next. */
function pull (judge, ranges, now) {
  validateOrder(ranges)
  const pairs = new Pairs(judge)
  const all = ranges.flatMap((range) => pairs.within(range)).filter((one) => expires(one) > BigInt(now))
  return { envelopes: all.slice(0, BATCH).map(({ encoded }) => encoded), rest: all[BATCH]?.signer ?? NONE }
}

const BLAMELESS = ['ADV-5', 'ADV-6', 'ADV-7', 'ADV-8', 'ADV-13', 'ADV-14']

/** Take advertisements over; ignored ones cost nothing (REC-7). */
function takeAll (judge, envelopes, now, expected = null) {
  const taken = []
  for (const encoded of envelopes) {
    try {
      taken.push(judge.take(encoded, now, expected))
    } catch (error) {
      if (!(error instanceof Broken) || !BLAMELESS.includes(error.rule)) throw error
    }
  }
  return taken
}

/** Serve a stream until the initiator closes it. */
export async function serveReconciliation (frames, judge, counters) {
  for (let frame = await frames.receive(); frame !== null; frame = await frames.receive()) {
    counters.questions++
    await frames.send(answer(judge, frame, Date.now()))
  }
  await frames.closeWrite()
}

// ---- the initiator

/** Bring both directories together over `frames`; gives what it did. */
export async function reconcile (frames, judge) {
  const done = { rounds: 0, pulled: 0, fetched: 0, offered: 0, taken: 0 }
  const wants = { pull: [], fetch: [], offer: [] }
  if (judge.all().length === 0) wants.pull.push({ lower: NONE, upper: NONE })
  else await findDifferences(frames, judge, wants, done)
  await pullAll(frames, judge, wants.pull, done)
  await fetchAll(frames, judge, wants.fetch, done)
  for (let at = 0; at < wants.offer.length; at += BATCH) {
    const envelopes = wants.offer.slice(at, at + BATCH)
    const took = expect('Took', await frames.ask(Offered.encode({ envelopes })))
    if (took.accepted > envelopes.length) throw new Broken('REC-2', 'more than were offered')
    done.offered += envelopes.length
    done.taken += took.accepted
  }
  await frames.closeWrite()
  return done
}

/** REC-2. */
function expect (kind, frame) {
  const message = decodeAnswer(frame)
  if (message.is !== kind) throw new Broken('REC-2', `${message.is} for ${kind}`)
  return message
}

async function findDifferences (frames, judge, wants, done) {
  const pairs = new Pairs(judge)
  let open = [pairs.range(NONE, NONE)]
  while (open.length > 0) {
    if (++done.rounds > ROUNDS_MAX) throw new Error('too many rounds')
    const asked = open.slice(0, RANGES_MAX)
    const { answered, differences } = expect('Compared', await frames.ask(Compare.encode({ ranges: asked })))
    if (answered < 1 || answered > asked.length) throw new Broken('REC-4', 'answered')
    const found = []
    for (const difference of differences) {
      if (difference.is === 'Listing') compareListing(pairs, difference, wants)
      else compareParts(pairs, difference.parts, wants, found)
    }
    open = [...found, ...open.slice(answered)].sort((a, b) => compare(a.lower, b.lower))
  }
}

const bytesOf = (entries) => entries.map(({ encoded }) => encoded)

function compareParts (pairs, parts, wants, found) {
  for (const part of parts.filter((one) => pairs.differs(one))) {
    const own = pairs.range(part.lower, part.upper)
    if (part.count === 0) wants.offer.push(...bytesOf(pairs.within(part)))
    else if (own.count === 0) wants.pull.push({ lower: part.lower, upper: part.upper })
    else found.push(own)
  }
}

function compareListing (pairs, { lower, upper, items }, wants) {
  const theirs = new Map()
  let last = null
  for (const { peer, sequence } of items) {
    const isOrdered = last === null || compare(last, peer) < 0
    if (!isOrdered || !inRange(peer, lower, upper)) throw new Broken('REC-5', 'items')
    last = peer
    theirs.set(hex(peer), sequence)
  }
  const own = new Map(pairs.within({ lower, upper }).map((one) => [hex(one.signer), one]))
  for (const { peer, sequence } of items) {
    const mine = own.get(hex(peer))
    if (mine === undefined || mine.advertisement.sequence < sequence) wants.fetch.push(peer)
  }
  for (const [key, entry] of own) {
    if (!theirs.has(key) || theirs.get(key) < entry.advertisement.sequence) wants.offer.push(entry.encoded)
  }
}

async function pullAll (frames, judge, wanted, done) {
  let ranges = wanted.sort((a, b) => compare(a.lower, b.lower))
  while (ranges.length > 0) {
    const asked = ranges.slice(0, RANGES_MAX)
    const { envelopes, rest } = expect('Pulled', await frames.ask(Pull.encode({ ranges: asked })))
    done.pulled += takeAll(judge, envelopes, Date.now()).length
    const more = rest.length === 0 ? [] : from(asked, rest)
    ranges = [...more, ...ranges.slice(RANGES_MAX)]
  }
}

/** The part of the ranges from a key on. */
const from = (ranges, key) => ranges
  .filter(({ upper }) => upper.length === 0 || compare(upper, key) > 0)
  .map((range) => ({ ...range, lower: compare(range.lower, key) < 0 ? key : range.lower }))

/** Ask for the advertisements of `peers` (public keys). */
export async function fetchAll (frames, judge, peers, done = { fetched: 0 }) {
  for (let at = 0; at < peers.length; at += BATCH) {
    const asked = peers.slice(at, at + BATCH)
    const { envelopes } = expect('Records', await frames.ask(Fetch.encode({ peers: asked })))
    done.fetched += takeAll(judge, envelopes, Date.now()).length
  }
  return done
}
