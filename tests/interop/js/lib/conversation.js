// One end of a job's stream: frames in, frames out, by the table of protocols/exchange.
import { equal } from './bytes.js'
import { EXCHANGE_FRAME_BYTES, FROM_PROVIDER, FROM_REQUESTER } from './messages.js'
import { Broken } from './rules.js'
import { decodeOneOf } from './types.js'

const CROSSING = { Chunk: 1, Pay: 1, Finished: 'settling', Failed: 'failed' }

/** State -> message -> next state; 1 stays. */
export const TABLE = {
  idle: { Ask: 'asked', Order: 'ordered' },
  asked: { Quoted: 'quoted', Refused: 'over' },
  quoted: { Accept: 'ordered', Refused: 'over' },
  ordered: { Started: 'running', Refused: 'over', Cancel: 'withdrawn' },
  withdrawn: { Started: 'cancelled', Refused: 'over' },
  running: { ...CROSSING, Cancel: 'cancelled' },
  cancelled: CROSSING,
  settling: { Pay: 1, Cancel: 1 },
  failed: { Pay: 1, Cancel: 1 },
  over: {}
}

export function nextState (state, kind) {
  const next = TABLE[state][kind]
  return next === 1 ? state : next
}

const PROMPT_BYTES = 196_608

export function promptBytes ({ text, messages, tools }) {
  const parts = [text, tools, ...messages.map(({ content }) => content)]
  return parts.reduce((sum, part) => sum + Buffer.byteLength(part), 0)
}

/** EXC-4. */
export function validateRequest (request) {
  const { kind, text, messages, logprobs, tools } = request
  if ((text === '') === (messages.length === 0)) throw new Broken('EXC-4', 'text or messages')
  if (kind === 'embedding' && logprobs > 0) throw new Broken('EXC-4', 'a vector has no tokens')
  if (tools !== '' && kind !== 'chat') throw new Broken('EXC-4', 'tools of what is no chat')
  if (tools === '' && messages.some(({ role }) => role === 'tool')) throw new Broken('EXC-4', 'a result without tools')
  if (promptBytes(request) > PROMPT_BYTES) throw new Broken('EXC-4', 'too long a prompt')
}

export class Conversation {
  state = 'idle'
  job = null

  /** `theirs`: the messages that the other end may send. */
  constructor (theirs, job = null) {
    this.theirs = theirs
    this.ours = theirs === FROM_PROVIDER ? FROM_REQUESTER : FROM_PROVIDER
    this.job = job
  }

  /** Decode and check a frame: EXC-1 (as WIRE), EXC-2, EXC-3, EXC-4. */
  receive (frame) {
    const message = decodeOneOf(this.theirs, frame, EXCHANGE_FRAME_BYTES)
    const next = nextState(this.state, message.is)
    if (next === undefined) throw new Broken('EXC-2', `${message.is} while ${this.state}`)
    if (this.job !== null && !equal(this.job, message.job)) throw new Broken('EXC-3', 'another job')
    if (message.request !== undefined) validateRequest(message.request)
    this.job = message.job
    this.state = next
    return message
  }

  /** Encode our message; raises Error if the table does not allow it. */
  send (kind, fields) {
    const next = nextState(this.state, kind)
    if (next === undefined) throw new Error(`we may not send ${kind} while ${this.state}`)
    this.state = next
    const type = this.ours.find((one) => one.kind === kind)
    return type.encode({ job: this.job, ...fields })
  }
}
