// A requester's end of one job (protocols/exchange), without input or output of its own.
import { CallReader } from './calls.js'
import { Conversation } from './conversation.js'
import { FROM_PROVIDER, Quote } from './messages.js'
import { sha256 } from './signatures.js'
import { computeEarned, judgeQuote, takeChunk, validateReceipt, validateStarted } from './terms.js'

/**
 * purchase: {request, offer, ownership, provider (public key), network, registryDomain, maxCost}.
 * lane: {terms (PayerTerms), sign(amount) -> SignedVoucher, amount, due}: `amount` of its newest voucher, `due` when
 * the job starts (LED-7).
 */
export class Requester {
  #quote = null
  #voucher = null

  constructor (job, purchase, lane) {
    this.conversation = new Conversation(FROM_PROVIDER, job)
    this.purchase = purchase
    this.lane = lane
    this.prices = purchase.offer
    this.run = { index: 0, text: [], bytes: 0, tokens: 0, told: 0, calls: new CallReader() }
    this.promptTokens = 0
    this.window = 0n
    this.wasCancelled = false
    this.receipt = null
    this.end = null // Refused, Failed or Finished
  }

  get earned () { return computeEarned(this.prices, this.promptTokens, this.run.tokens) }
  get text () { return this.run.text.join('') }

  ask () { return this.conversation.send('Ask', { request: this.purchase.request }) }

  order () {
    const { request, offer, maxCost } = this.purchase
    return this.conversation.send('Order', {
      request,
      prompt_price: offer.prompt_price,
      completion_price: offer.completion_price,
      max_cost: maxCost,
      terms: this.lane.terms,
      voucher: this.#sign(this.lane.due),
      base: this.lane.due,
      deadline_ms: 0
    })
  }

  cancel () {
    this.wasCancelled = true
    return this.conversation.send('Cancel', {})
  }

  /** Take a frame; gives the frames to send. Raises Broken. `now`: unix ms, a BigInt. */
  receive (frame, now) {
    const message = this.conversation.receive(frame)
    switch (message.is) {
      case 'Quoted': return this.#onQuoted(message, now)
      case 'Started':
        this.window = validateStarted(message, this.purchase, this.prices, this.#quote)
        this.promptTokens = message.prompt_tokens
        return this.#payIfDue()
      case 'Chunk':
        takeChunk(message, this.run, this.purchase.request)
        return this.#payIfDue()
      case 'Finished': return this.#onFinished(message, now)
      default:
        this.end = message
        return []
    }
  }

  #onQuoted ({ quote: envelope, job }, now) {
    this.#quote = judgeQuote(envelope, job, this.purchase)
    if (this.#quote.valid_until < now) { // EXC-5: as if refused, and nobody is to blame
      this.end = { is: 'Refused', code: 'quote_expired', reason: 'the quote came too late' }
      return []
    }
    const { offer } = this.purchase
    const { prompt_price: prompt, completion_price: completion } = this.#quote
    if (prompt > offer.prompt_price || completion > offer.completion_price) { // EXC-5: nor is anybody here
      this.end = { is: 'Refused', code: 'price_changed', reason: 'it asks more than was advertised' }
      return []
    }
    this.prices = this.#quote
    const quote = sha256(Quote.encode(this.#quote))
    const { terms, due } = this.lane
    return [this.conversation.send('Accept', { quote, terms, voucher: this.#sign(due), base: due, deadline_ms: 0 })]
  }

  /** EXC-9: all that was earned, as soon as that is half the window. */
  #payIfDue () {
    const owed = this.earned - (this.lane.amount - this.lane.due)
    return owed * 2n >= this.window && owed > 0n ? [this.#pay()] : []
  }

  #onFinished (message, now) {
    const said = {
      job: message.job,
      promptTokens: this.promptTokens,
      cached: message.cached,
      run: this.run,
      earned: this.earned,
      wasCancelled: this.wasCancelled,
      voucher: this.#voucher
    }
    validateReceipt(message.receipt, this.purchase, said, now)
    this.receipt = message.receipt
    this.end = message
    return this.earned > this.lane.amount - this.lane.due ? [this.#pay()] : []
  }

  #pay () {
    return this.conversation.send('Pay', { voucher: this.#sign(this.lane.due + this.earned) })
  }

  /** LED-10: never less than before on the lane. */
  #sign (amount) {
    const signed = this.lane.sign(amount > this.lane.amount ? amount : this.lane.amount)
    this.#voucher = signed.voucher
    this.lane.amount = signed.voucher.amount
    return signed
  }
}
