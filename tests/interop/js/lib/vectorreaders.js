// A reader for each vector format that protocols/README.md heads. Each yields [label, check].
import assert from 'node:assert/strict'
import * as messages from './messages.js'
import { Judge } from './advertisements.js'
import { anchorOf, markOf, Registry } from './anchoring.js'
import { hex, unhex } from './bytes.js'
import { FarmBook, validateCertificate } from './farms.js'
import * as lineRules from './lines.js'
import { element, fingerprint, inRange } from './fingerprint.js'
import { nextState, TABLE } from './conversation.js'
import { answer } from './reconcile.js'
import { decodeReceiptFile, verifyReceiptFile } from './receiptfile.js'
import { NotPaid, Payee } from './payee.js'
import { Broken } from './rules.js'
import * as sig from './signatures.js'
import { exchangeMessages, WORLD } from './vectorexchange.js'

/** The rule that `act` breaks; empty if none. Anything but Broken is a failure of ours. */
export function ruleOf (act) {
  try {
    act()
    return ''
  } catch (error) {
    if (error instanceof Broken) return error.rule
    throw error
  }
}

function * wire ({ valid, invalid }) {
  for (const { kind, name, encoded, value } of valid) {
    yield [`${kind} ${name}`, () => {
      const type = messages[kind]
      const read = type.decode(unhex(encoded))
      assert.deepEqual(type.plain(read), value)
      assert.equal(hex(type.encode(read)), encoded)
    }]
  }
  for (const { kind, name, encoded, rule } of invalid) {
    yield [`${kind} ${name}`, () => assert.equal(ruleOf(() => messages[kind].decode(unhex(encoded))), rule)]
  }
}

function * envelope ({ networks, valid, invalid }) {
  for (const { chainId, registry, network } of networks) {
    yield [`network ${chainId}`, () => assert.equal(hex(sig.networkId(chainId, unhex(registry))), network)]
  }
  for (const one of valid) {
    yield [one.name, () => {
      const key = sig.peerKey(unhex(one.seed))
      const [network, payload] = [unhex(one.network), unhex(one.payload)]
      assert.equal(hex(sig.signingInput(one.domain, network, payload)), one.signingInput)
      const sealed = sig.seal(key, one.domain, network, payload)
      assert.equal(hex(messages.Envelope.encode(sealed)), one.encoded)
      assert.equal(hex(sig.peerIdOf(key.publicKey)), one.peerId)
      sig.validateEnvelope(sig.decodeEnvelope(unhex(one.encoded)), one.domain, network)
    }]
  }
  for (const { name, signer, payload, signature, domain, network, rule } of invalid) {
    const made = { signer: unhex(signer), payload: unhex(payload), signature: unhex(signature) }
    yield [name, () => assert.equal(ruleOf(() => sig.validateEnvelope(made, domain, unhex(network))), rule)]
  }
}

const snake = (name) => name.replace(/[A-Z]/g, (letter) => '_' + letter.toLowerCase())

/** A statement's EIP-712 fields as ours. */
function statement (one) {
  const entries = Object.entries(one).map(([name, value]) => [snake(name),
    typeof value === 'string' && value.startsWith('0x') ? unhex(value) : /^[0-9]+$/.test(value) ? BigInt(value) : value])
  return Object.fromEntries(entries)
}

function * eip712 ({ domain, types, vouchers, receipts, ownerships, channels, invalid }) {
  const separators = { channels: domain.channelsSeparator, registry: domain.registrySeparator }
  for (const [contract, separator] of Object.entries(separators)) {
    yield [`domain ${contract}`, () =>
      assert.equal(hex(sig.domainSeparator(domain.chainId, unhex(domain[contract]))), separator)]
  }
  for (const [kind, cases] of Object.entries({ Voucher: vouchers, Receipt: receipts, Ownership: ownerships })) {
    yield [`type ${kind}`, () => assert.equal(sig.typeString(kind), types[kind.toLowerCase()])]
    for (const one of cases) {
      yield [`${kind} ${one.name}`, () => {
        const read = statement(one)
        const account = sig.accountKey(unhex(one.privateKey))
        assert.equal(hex(sig.structHash(kind, read)), one.structHash)
        assert.equal(hex(sig.digest712(kind, read, unhex(one.domainSeparator))), one.digest)
        assert.equal(hex(sig.recover(unhex(one.digest), unhex(one.signature))), one.signer)
        assert.equal(hex(account.address), one.signer)
        assert.equal(hex(sig.signStatement(account, kind, read, unhex(one.domainSeparator))), one.signature)
      }]
    }
  }
  for (const { name, channel, ...terms } of channels) {
    const named = Object.fromEntries(Object.entries(terms).map(([field, value]) => [field, unhex(value)]))
    yield [`channel ${name}`, () =>
      assert.equal(hex(sig.channelId(named, unhex(domain.channelsSeparator))), channel)]
  }
  for (const { name, digest, signature } of invalid) {
    yield [name, () => assert.equal(ruleOf(() => sig.recover(unhex(digest), unhex(signature))), 'EIP712-1')]
  }
}

function * ownership ({ cases }, load) {
  const domain = unhex(load('records/vectors/eip712.json').domain.registrySeparator)
  for (const one of cases) {
    yield [one.name, () => {
      const { peer, operator, delegate, not_after: notAfter, signature } = statement(one)
      const signed = { ownership: { peer, operator, delegate, not_after: notAfter }, signature }
      const check = () => sig.validateOwnership(signed, unhex(one.expectedPeer), domain, BigInt(one.now))
      assert.equal(ruleOf(check), one.rule)
    }]
  }
}

function * certificate ({ cases, network }) {
  for (const one of cases) {
    yield [one.name, () => {
      const sealed = sig.decodeEnvelope(unhex(one.certificate))
      const [since, until] = [BigInt(one.since), BigInt(one.until)]
      const check = () => validateCertificate(sealed, unhex(one.member), unhex(network), since, until)
      assert.equal(ruleOf(check), one.rule)
    }]
  }
}

const IGNORED = ['ADV-5', 'ADV-6', 'ADV-7', 'ADV-8', 'ADV-14', 'ANN-4', 'ANN-5', 'FRM-8', 'FRM-9', 'FRM-10']

function * verdict ({ cases, rules, network, registryDomain, now, origin }) {
  for (const { name, steps } of cases) {
    yield [name, () => {
      const judge = rules[0].startsWith('FRM')
        ? new FarmBook(unhex(network))
        : new Judge(unhex(network), unhex(registryDomain))
      let clock = Number(now)
      for (const { message, offset_ms: offset, verdict, rule, expected } of steps) {
        clock = Number(now) + offset
        const peer = expected === undefined ? null : sig.publicKeyOf(unhex(expected))
        const broken = ruleOf(() => rules[0].startsWith('ANN')
          ? judge.judgeAnnouncements(unhex(message), origin, clock)
          : judge.take(unhex(message), clock, peer))
        assert.equal(broken, rule)
        assert.equal(broken === '' ? 'accept' : IGNORED.includes(broken) ? 'ignore' : 'reject', verdict)
      }
    }]
  }
}

function * fingerprints ({ cases }) {
  for (const one of cases) {
    yield [one.name, () => {
      const [lower, upper] = [unhex(one.lower), unhex(one.upper)]
      const inside = one.pairs.filter(({ peer }) => inRange(unhex(peer), lower, upper))
      const elements = inside.map(({ peer, sequence }) => element(unhex(peer), BigInt(sequence)))
      assert.equal(inside.length, one.count)
      assert.equal(hex(fingerprint(elements)), one.fingerprint)
    }]
  }
}

function * pull ({ cases, network, held, now }) {
  for (const one of cases) {
    yield [one.name, () => {
      const judge = new Judge(unhex(network), new Uint8Array(32))
      for (const encoded of held) judge.take(unhex(encoded), Number(now))
      const moment = Number(now) + Number(one.offset_ms)
      assert.equal(hex(answer(judge, unhex(one.question), moment)), one.answer)
    }]
  }
}

function * table ({ cases }) {
  for (const { state, message, next } of cases) {
    yield [`${state} ${message}`, () => assert.equal(nextState(state, message) ?? '', next)]
  }
  yield ['all states', () => assert.deepEqual(new Set(cases.map(({ state }) => state)), new Set(Object.keys(TABLE)))]
}

function * receiptFiles ({ cases }) {
  for (const [index, { check, file }] of cases.entries()) {
    yield [`${index} ${check}`, () => {
      let failed = ''
      try {
        verifyReceiptFile(decodeReceiptFile(file), WORLD.registryDomain, WORLD.now)
      } catch (error) {
        failed = error.check ?? error.message
      }
      assert.equal(failed, check)
    }]
  }
}

function * vouchers ({ cases, channel, domain, ...known }) {
  const payee = unhex(known.payee)
  const terms = messages.PayerTerms.decode(unhex(known.terms))
  const job = { epoch: 0, window: 80n, ceiling: 650n }
  for (const one of cases) {
    yield [one.name, () => {
      const books = new Payee(payee, unhex(domain))
      books.note({
        channel: unhex(channel),
        ...terms,
        payee,
        deposit: BigInt(one.deposit),
        claimed: 0n,
        epoch: one.channelEpoch,
        closes_at: BigInt(one.closesAt)
      })
      for (const { voucher, earned, isRunning } of one.before) {
        const signed = messages.SignedVoucher.decode(unhex(voucher))
        const lane = books.open(signed, signed.voucher.amount, { ...job, epoch: signed.voucher.epoch })
        lane.earned += BigInt(earned)
        if (!isRunning) books.release(lane)
      }
      let refused = { rule: '', code: '' }
      try {
        const signed = messages.SignedVoucher.decode(unhex(one.voucher))
        books.identify(messages.PayerTerms.decode(unhex(one.terms)), signed)
        books.open(signed, BigInt(one.base), job)
      } catch (error) {
        if (!(error instanceof NotPaid)) throw error
        refused = error
      }
      assert.deepEqual([refused.rule, refused.code], [one.rule, one.code])
    }]
  }
}

function * anchors ({ cases }) {
  for (const { name, advertisement, anchor } of cases) {
    yield [name, () => assert.equal(hex(anchorOf(messages.Advertisement.decode(unhex(advertisement)))), anchor)]
  }
}

function * marks ({ cases, peer }) {
  for (const { name, advertisement, entries, events, standing, anchor, operator } of cases) {
    yield [name, () => {
      const registry = new Registry()
      for (const entry of entries) registry.note(entry)
      for (const event of events) registry.fold(event)
      const mark = markOf(registry, peer, messages.Advertisement.decode(unhex(advertisement)))
      assert.deepEqual(mark, { standing, anchor, operator })
    }]
  }
}

function * lines ({ parts, lends, takes }) {
  for (const { name, deposit, weight, part } of parts) {
    yield [name, () => assert.equal(lineRules.part(BigInt(deposit), BigInt(weight)), BigInt(part))]
  }
  for (const one of lends) {
    yield [one.name, () => {
      const [have, want] = [one.have, one.want].map((wei) => [BigInt(wei), one.askEpoch])
      const given = lineRules.lend([BigInt(one.gaveBefore), one.gaveEpoch], have, want, [BigInt(one.spare), one.spareEpoch])
      assert.deepEqual(given, [BigInt(one.given), one.givenEpoch])
    }]
  }
  for (const one of takes) {
    yield [one.name, () => {
      const taken = lineRules.take([BigInt(one.tookBefore), one.tookEpoch], [BigInt(one.told), one.toldEpoch])
      assert.deepEqual(taken, [BigInt(one.taken), one.takenEpoch])
    }]
  }
}

export const READERS = {
  'wire/1': wire,
  'envelope/1': envelope,
  'eip712/1': eip712,
  'ownership/1': ownership,
  'certificate/1': certificate,
  'verdict/1': verdict,
  'fingerprint/1': fingerprints,
  'pull/1': pull,
  'exchange-table/1': table,
  'exchange-messages/1': exchangeMessages,
  'exchange-receipts/1': receiptFiles,
  'ledger-vouchers/1': vouchers,
  'anchor/1': anchors,
  'marks/1': marks,
  'members-lines/1': lines
}
