// exchange-messages/1: the world behind the frames is described in protocols/exchange.
import assert from 'node:assert/strict'
import { ascii, unhex } from './bytes.js'
import { Conversation } from './conversation.js'
import { FROM_REQUESTER, Request } from './messages.js'
import { Requester } from './requester.js'
import { Broken } from './rules.js'
import * as sig from './signatures.js'

const account = (name) => sig.accountKey(sig.sha256(ascii(name)))
const filled = (letter, size) => new Uint8Array(size).fill(letter.charCodeAt(0))

const provider = sig.peerKey(sig.sha256(ascii('provider')))
const operator = account('op')

export const WORLD = {
  now: 1_800_000_000_000n,
  network: filled('n', 32),
  registryDomain: sig.domainSeparator(31337, filled('r', 20)),
  channelsDomain: sig.domainSeparator(31337, filled('c', 20))
}

const offer = {
  model: 'tiny',
  weights: filled('w', 32),
  kinds: ['completion', 'chat'],
  context_length: 4096,
  max_tokens: 1024,
  features: [],
  prompt_price: 2n,
  completion_price: 10n,
  epoch: 0,
  credit_tokens: 8,
  deferred_discount: 0
}

const ownership = {
  peer: provider.publicKey,
  operator: operator.address,
  delegate: account('delegate').address,
  not_after: WORLD.now * 2n
}

function makeRequester (request) {
  const purchase = {
    request,
    offer,
    ownership: {
      ownership, signature: sig.signStatement(operator, 'Ownership', ownership, WORLD.registryDomain)
    },
    provider: provider.publicKey,
    network: WORLD.network,
    registryDomain: WORLD.registryDomain,
    maxCost: 2000n
  }
  const terms = { payer: account('payer').address, signer: new Uint8Array(20), salt: filled('C', 32) }
  const channel = sig.channelId({ ...terms, payee: operator.address }, WORLD.channelsDomain)
  const lane = {
    amount: 0n,
    due: 0n,
    terms,
    sign (amount) {
      const voucher = { channel, lane: 0, amount, epoch: 0 }
      return { voucher, signature: sig.signStatement(account('payer'), 'Voucher', voucher, WORLD.channelsDomain) }
    }
  }
  const job = new Uint8Array(16)
  job[15] = 1
  return new Requester(job, purchase, lane)
}

export function * exchangeMessages ({ cases, now, request }) {
  for (const { frames, name, rule, state, to, request: own } of cases) {
    yield [`${to} ${name}`, () => {
      let receive
      if (to === 'provider') {
        const conversation = new Conversation(FROM_REQUESTER)
        receive = (frame) => conversation.receive(frame)
      } else {
        const requester = makeRequester(Request.decode(unhex(own ?? request)))
        if (state === 'asked') requester.ask()
        else requester.order()
        receive = (frame) => requester.receive(frame, BigInt(now))
      }
      for (const [index, frame] of frames.entries()) {
        let broken = ''
        try {
          receive(unhex(frame))
        } catch (error) {
          if (!(error instanceof Broken)) throw error
          broken = error.rule
        }
        assert.equal(broken, index === frames.length - 1 ? rule : '')
      }
    }]
  }
}
