// A provider's end of a job (protocols/exchange): an engine that counts words, and is paid for them.
import { equal, utf8 } from './bytes.js'
import { Conversation } from './conversation.js'
import { FROM_REQUESTER, Quote } from './messages.js'
import { NotPaid } from './payee.js'
import { seal, sha256, signStatement } from './signatures.js'
import { computeEarned, computeWindow, hasWeights, requestDigest } from './terms.js'

const QUOTE_VALID_MS = 30_000n
const PAY_TIMEOUT_MS = 15_000
export const ENGINE = sha256(utf8('echo/1/javascript'))

/** Why a job ends before it starts. */
class Refusal extends Error {
  constructor (code, reason = code, retryAfterMs = 0) {
    super(reason)
    Object.assign(this, { code, retryAfterMs })
  }
}

const words = (text) => text.split(/(?<=\s)/).filter((one) => one !== '')
const promptOf = ({ text, messages }) => text !== '' ? text : messages.map(({ content }) => content).join('\n')

/**
 * seller: {offer, peerKey, account (operator and delegate), network, registryDomain, payee (books),
 * fetchChannel(terms) -> ChannelState or null}.
 */
export class Provider {
  #ordered = null // {request, prices, maxCost, terms, voucher, base}
  #quote = null
  #lane = null
  #wasCancelled = false
  #voucherCame = () => {}

  constructor (frames, seller) {
    Object.assign(this, { frames, seller })
    this.conversation = new Conversation(FROM_REQUESTER)
    this.tokens = 0
  }

  async serve () {
    try {
      while (this.#ordered === null) {
        const message = await this.#receive()
        if (message === null) return
        await this.#onFirst(message)
      }
      await this.#admit()
    } catch (error) {
      if (!(error instanceof Refusal) && !(error instanceof NotPaid)) throw error
      const { code, message, reason = message, retryAfterMs = 0 } = error
      await this.#send('Refused', { code, reason, retry_after_ms: retryAfterMs })
      await this.frames.closeWrite()
      return
    }
    const reading = this.#readPayments()
    try {
      await this.#run()
      await Promise.race([reading, delay(PAY_TIMEOUT_MS)])
      await this.frames.closeWrite()
    } finally {
      this.#lane.earned = this.#lane.job.due + this.earned
      this.seller.payee.release(this.#lane)
    }
  }

  get earned () {
    return computeEarned(this.#ordered.prices, this.promptTokens, this.tokens)
  }

  get paid () { return this.#lane.amount - this.#lane.job.due }

  #send (kind, fields) { return this.frames.send(this.conversation.send(kind, fields)) }

  async #receive () {
    const frame = await this.frames.receive()
    return frame === null ? null : this.conversation.receive(frame)
  }

  async #onFirst (message) {
    if (message.is === 'Ask') return this.#onAsk(message)
    if (message.is === 'Order') {
      const { request, voucher, base, max_cost: maxCost } = message
      const terms = this.seller.payee.identify(message.terms, voucher)
      this.#validateRequest(request)
      const { prompt_price: prompt, completion_price: completion } = message
      const { offer } = this.seller
      if (prompt < offer.prompt_price || completion < offer.completion_price) throw new Refusal('price_changed')
      this.#ordered = { request, prices: { prompt_price: prompt, completion_price: completion }, terms, voucher, base, maxCost }
    } else {
      const { voucher, base } = message
      const terms = this.seller.payee.identify(message.terms, voucher)
      const quoted = sha256(Quote.encode(this.#quote.quote))
      if (!equal(message.quote, quoted)) throw new Error('EXC-5: another quote')
      if (this.#quote.quote.valid_until < Date.now()) throw new Refusal('quote_expired')
      this.#ordered = { request: this.#quote.request, prices: this.#quote.quote, terms, voucher, base, maxCost: null }
    }
  }

  /** EXC-6. */
  #validateRequest (request) {
    const { offer } = this.seller
    if (request.model !== offer.model || !hasWeights(offer, request)) throw new Refusal('unknown_model')
    if (!offer.kinds.includes(request.kind)) throw new Refusal('unsupported')
    const tokens = words(promptOf(request)).length
    if (request.max_tokens > offer.max_tokens || request.grammar !== '' || request.logprobs > 0 || request.tools !== '') throw new Refusal('unsupported')
    if (tokens + request.max_tokens > offer.context_length) throw new Refusal('prompt_too_long')
    this.promptTokens = tokens
  }

  async #onAsk ({ request, job }) {
    this.#validateRequest(request)
    const { offer, peerKey, network, account } = this.seller
    const quote = {
      job,
      request: requestDigest(request),
      weights: offer.weights,
      prompt_tokens: this.promptTokens,
      max_tokens: request.max_tokens,
      prompt_price: offer.prompt_price,
      completion_price: offer.completion_price,
      epoch: offer.epoch,
      window: computeWindow(offer, offer, request, this.promptTokens),
      payee: account.address,
      valid_until: BigInt(Date.now()) + QUOTE_VALID_MS
    }
    this.#quote = { quote, request }
    await this.#send('Quoted', { quote: seal(peerKey, 'quote', network, Quote.encode(quote)) })
  }

  /** EXC-8: open the lane; before no_channel or channel_exhausted look at the chain once. */
  async #admit () {
    const { request, prices, terms, voucher, base, maxCost } = this.#ordered
    const { offer, payee, fetchChannel } = this.seller
    const ceiling = computeEarned(prices, this.promptTokens, request.max_tokens)
    if (maxCost !== null && ceiling > maxCost) throw new Refusal('over_ceiling')
    this.window = computeWindow(prices, offer, request, this.promptTokens)
    const open = () => payee.open(voucher, base, { epoch: offer.epoch, window: this.window, ceiling })
    try {
      this.#lane = open()
    } catch (error) {
      if (error.code !== 'no_channel' && error.code !== 'channel_exhausted') throw error
      const state = await fetchChannel(terms)
      if (state === null) throw error
      payee.note(state)
      this.#lane = open()
    }
    await this.#send('Started', { prompt_tokens: this.promptTokens, window: this.window })
  }

  async #readPayments () {
    try {
      for (let message = await this.#receive(); message !== null; message = await this.#receive()) {
        if (message.is === 'Cancel') this.#wasCancelled = true
        else this.seller.payee.renew(this.#lane, message.voucher)
        this.#voucherCame()
      }
    } catch (error) {
      this.failure = error
      this.#voucherCame()
    }
  }

  /** Say the prompt again, word by word, never further ahead of the vouchers than the window. */
  async #run () {
    const { request, prices } = this.#ordered
    const said = words(promptOf(request)).slice(0, request.max_tokens)
    let text = ''
    for (const [index, word] of said.entries()) {
      while (this.earned + prices.completion_price - this.paid > this.window && !this.#wasCancelled) {
        if (this.failure !== undefined) throw this.failure
        await new Promise((resolve) => { this.#voucherCame = resolve })
      }
      if (this.#wasCancelled) break
      text += word
      this.tokens = index + 1
      await this.#send('Chunk', { index, text: word, tokens: this.tokens, logprobs: [] })
      // Let what came meanwhile be read: this engine would never wait otherwise.
      await delay(1)
    }
    await this.#finish(text, said.length)
  }

  async #finish (text, length) {
    const { seller: { peerKey, offer, account, registryDomain } } = this
    const { request } = this.#ordered
    const { channel, lane, epoch } = this.#lane.newest.voucher
    const isWhole = this.tokens === length && length < request.max_tokens
    const receipt = {
      job: this.conversation.job,
      peer: peerKey.publicKey,
      request: requestDigest(request),
      completion: sha256(utf8(text)),
      weights: offer.weights,
      engine: ENGINE,
      prompt_tokens: this.promptTokens,
      completion_tokens: this.tokens,
      price: this.earned,
      epoch,
      channel,
      lane,
      finished_at: BigInt(Date.now()),
      finish: this.#wasCancelled ? 2 : isWhole ? 0 : 1
    }
    const signature = signStatement(account, 'Receipt', receipt, registryDomain)
    this.#lane.earned = this.#lane.job.due + this.earned
    this.#lane.job.isReceipted = true
    this.receipt = receipt
    await this.#send('Finished', { receipt: { receipt, signature }, cached: 0 })
  }
}

const delay = (ms) => new Promise((resolve) => { setTimeout(resolve, ms).unref() })
