// What a requester checks of a provider's words (protocols/exchange, Money and Rules).
import { equal, isZero, utf8 } from './bytes.js'
import { promptBytes } from './conversation.js'
import { Quote, Request } from './messages.js'
import { as, Broken } from './rules.js'
import { digest712, recover, sha256, validateEnvelope } from './signatures.js'

const CREDIT_TOKENS_MIN = 2
const TEMPLATE_TOKENS = 64
const TEMPLATE_TOKENS_PER_MESSAGE = 16
const TEMPLATE_TOKENS_OF_TOOLS = 512
const TEXT_BYTES_PER_TOKEN = 32
const COMPLETION_SLACK_BYTES = 65_536
const TOKENS_SLACK = 96
const TOKENS_PER_CHARACTER = 4
const CLOCK_SKEW_MS = 60_000n

const most = (a, b) => (a > b ? a : b)
const least = (a, b) => (a < b ? a : b)

export const requestDigest = (request) => sha256(Request.encode(request))

/** Money: prices are {prompt_price, completion_price}. */
export const computeEarned = (prices, promptTokens, completionTokens) =>
  BigInt(promptTokens) * prices.prompt_price + BigInt(completionTokens) * prices.completion_price

export function computeWindow (prices, offer, request, promptTokens) {
  const credit = BigInt(Math.max(offer.credit_tokens, CREDIT_TOKENS_MIN)) * prices.completion_price
  const ceiling = computeEarned(prices, promptTokens, request.max_tokens)
  return least(ceiling, most(credit, BigInt(promptTokens) * prices.prompt_price))
}

/** EXC-17, the first half. */
export function validatePromptTokens (request, promptTokens) {
  const template = TEMPLATE_TOKENS + TEMPLATE_TOKENS_PER_MESSAGE * request.messages.length
  const limit = promptBytes(request) + template + (request.tools === '' ? 0 : TEMPLATE_TOKENS_OF_TOOLS)
  if (promptTokens > limit) throw new Broken('EXC-17', 'more tokens than the prompt can have')
}

/** EXC-5 and EXC-17 of a Quoted; gives the Quote. `purchase` as in requester.js. */
export function judgeQuote (envelope, job, purchase) {
  const { offer, request, ownership } = purchase
  const must = (holds, why) => { if (!holds) throw new Broken('EXC-5', why) }
  must(equal(envelope.signer, purchase.provider), 'signed by another peer')
  validateEnvelope(envelope, 'quote', purchase.network)
  const quote = as('EXC-5', () => Quote.decode(envelope.payload))
  must(equal(quote.job, job), 'job')
  must(equal(quote.request, requestDigest(request)), 'request')
  must(equal(quote.weights, offer.weights), 'weights')
  must(quote.max_tokens === request.max_tokens, 'max_tokens')
  must(quote.epoch === offer.epoch, 'epoch')
  must(equal(quote.payee, ownership.ownership.operator), 'payee')
  validatePromptTokens(request, quote.prompt_tokens)
  return quote
}

/** EXC-17 and the last sentence of EXC-6; gives the window that counts. `quote` is null after an Order. */
export function validateStarted (started, purchase, prices, quote) {
  const { offer, request } = purchase
  validatePromptTokens(request, started.prompt_tokens)
  const must = (holds, why) => { if (!holds) throw new Broken('EXC-17', why) }
  must(quote === null || quote.prompt_tokens === started.prompt_tokens, 'prompt_tokens unlike the quote')
  must(quote === null || started.window <= quote.window, 'a wider window than the quote')
  if (computeEarned(prices, started.prompt_tokens, request.max_tokens) > purchase.maxCost) {
    throw new Broken('EXC-6', 'it may cost more than the ceiling')
  }
  const advertised = computeWindow(offer, offer, request, started.prompt_tokens)
  return started.window < advertised ? started.window : advertised
}

/** EXC-10, EXC-11. `run`: {index, text, bytes, tokens} so far; it is updated. */
export function takeChunk (chunk, run, request) {
  if (chunk.index !== run.index) throw new Broken('EXC-10', 'a gap')
  if (chunk.text === '' && chunk.tokens === run.tokens) throw new Broken('EXC-10', 'nothing in it')
  if (chunk.tokens < run.tokens) throw new Broken('EXC-11', 'tokens shrink')
  if (chunk.tokens > request.max_tokens) throw new Broken('EXC-11', 'more than max_tokens')
  const bytes = run.bytes + utf8(chunk.text).length
  if (bytes > COMPLETION_SLACK_BYTES + TEXT_BYTES_PER_TOKEN * chunk.tokens) {
    throw new Broken('EXC-11', 'too much text for its tokens')
  }
  takeLogprobs(chunk, run, request.logprobs - 1, request.tools !== '')
  if (request.tools !== '') run.calls.feed(chunk.text)
  Object.assign(run, { index: run.index + 1, bytes, tokens: chunk.tokens })
  run.text.push(chunk.text)
}

/** EXC-21; `most` is -1 where none were asked for. */
function takeLogprobs ({ logprobs, tokens }, run, most, hasTools) {
  const must = (holds, why) => { if (!holds) throw new Broken('EXC-21', why) }
  run.told += logprobs.length
  must(run.told <= (most >= 0 ? tokens : 0), 'of more tokens than asked for')
  for (const { top } of logprobs) {
    must(top.length <= most, 'more alternatives than asked for')
    must(top.every((one, at) => at === 0 || top[at - 1].surprisal <= one.surprisal), 'the likeliest comes first')
  }
  must(most < 0 || hasTools || run.told * TOKENS_PER_CHARACTER >= tokens - TOKENS_SLACK, 'of too few tokens')
}

/** EXC-22: 3 is for calls. */
function isFinish (finish, { tools }, calls) {
  if (tools === '') return finish < 2
  return calls.isWhole && (finish === 1 || finish === (calls.calls > 0 ? 3 : 0))
}

/** EXC-16, live. `said`: what we know: {job, promptTokens, run, earned, wasCancelled, voucher}. */
export function validateReceipt ({ receipt, signature }, purchase, said, now) {
  const must = (holds, why) => { if (!holds) throw new Broken('EXC-16', why) }
  const { request, offer, ownership: { ownership } } = purchase
  must(equal(receipt.job, said.job), 'job')
  must(equal(receipt.peer, purchase.provider), 'peer')
  must(equal(receipt.request, requestDigest(request)), 'request')
  must(equal(receipt.completion, sha256(utf8(said.run.text.join('')))), 'completion')
  must(equal(receipt.weights, offer.weights), 'weights')
  must(receipt.prompt_tokens === said.promptTokens, 'prompt_tokens')
  must(receipt.completion_tokens === said.run.tokens, 'completion_tokens')
  must(receipt.price === said.earned, 'price')
  must(receipt.epoch === said.voucher.epoch, 'epoch')
  must(said.cached <= said.promptTokens, 'cached')
  must(equal(receipt.channel, said.voucher.channel), 'channel')
  must(receipt.lane === said.voucher.lane, 'lane')
  must(said.wasCancelled || isFinish(receipt.finish, request, said.run.calls), 'finish')
  must(receipt.finished_at <= now + CLOCK_SKEW_MS, 'from the future')
  must(receipt.finished_at <= ownership.not_after, 'after the proof')
  const signer = as('EXC-16', () => recover(digest712('Receipt', receipt, purchase.registryDomain), signature))
  must(equal(signer, ownership.delegate), 'not by the delegate')
  const { run: { text, told } } = said
  if (request.logprobs > 0 && request.tools === '' && text.length > 0 && told === 0) throw new Broken('EXC-21', 'no logprobs came')
}

/** The offer's weights are good for a request that names none (zeros) or these. */
export const hasWeights = (offer, request) =>
  isZero(request.weights) || equal(request.weights, offer.weights)
