// A paid job as a requester: one stream, one channel, one lane.
import { randomBytes } from 'node:crypto'
import { Requester } from './requester.js'
import { signStatement } from './signatures.js'
import { StreamBroken } from './frames.js'

export const EXCHANGE = '/modelex/exchange/1'

/** What a payer promised on one lane and agrees to owe, over all jobs (protocols/ledger). */
export class Lane {
  amount = 0n
  due = 0n

  constructor (account, domain, { channel, payer, signer, salt, epoch }, number = 0) {
    Object.assign(this, { account, domain, channel, terms: { payer, signer, salt }, epoch, number })
  }

  sign (amount) {
    const voucher = { channel: this.channel, lane: this.number, amount, epoch: this.epoch }
    return { voucher, signature: signStatement(this.account, 'Voucher', voucher, this.domain) }
  }
}

export function makeRequest (given) {
  return {
    model: given.model,
    weights: new Uint8Array(32),
    kind: given.kind,
    text: given.text ?? '',
    messages: given.messages ?? [],
    max_tokens: given.max_tokens,
    temperature: 0,
    top_p: 1,
    top_k: 0,
    seed: 0n,
    stop: [],
    grammar: '',
    logprobs: given.logprobs ?? 0,
    tools: given.tools ?? ''
  }
}

/**
 * Run a job over `frames`. how: {quoted: ask first, cancelAfter: chunks, dropAfter: chunks}.
 * Gives {text, end, receipt, earned, paid, chunks, pays}.
 */
export async function runJob (frames, purchase, lane, how = {}) {
  const requester = new Requester(randomBytes(16), purchase, lane)
  const before = lane.due
  let pays = 0
  await frames.send(how.quoted ? requester.ask() : requester.order())
  while (requester.end === null) {
    const frame = await frames.receive()
    if (frame === null) throw new StreamBroken('the provider left')
    const replies = requester.receive(frame, BigInt(Date.now()))
    for (const reply of replies) await frames.send(reply)
    pays += replies.length
    if (requester.run.index === how.cancelAfter && !requester.wasCancelled) await frames.send(requester.cancel())
    if (requester.run.index === how.dropAfter) {
      frames.reset()
      break
    }
  }
  if (requester.receipt !== null) await frames.closeWrite()
  lane.due = before + requester.earned
  const { end, text, receipt, earned, run, promptTokens } = requester
  return {
    text, end, receipt, earned, pays, chunks: run.index, promptTokens, tokens: run.tokens, paid: lane.amount - before
  }
}

/** What a refusal with code `debt` says must be reached (EXC-7); null if it is another. */
export function debtOf (end) {
  const match = /^earned=([0-9]+)$/.exec(end?.reason ?? '')
  return end?.is === 'Refused' && end.code === 'debt' && match !== null ? BigInt(match[1]) : null
}
