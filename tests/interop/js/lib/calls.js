// Calls of tools in a completion's text (protocols/exchange, tool calls).
import { Broken } from './rules.js'

const MARK = '\u001e'
const HEAD = 512
const CALLS = 128

export class CallReader {
  calls = 0
  #head = null

  get isWhole () { return this.#head === null }

  /** EXC-22. */
  feed (text) {
    const [first, ...rest] = text.split(MARK)
    this.#goOn(first)
    for (const part of rest) {
      if (this.#head !== null) throw new Broken('EXC-22', 'a call within a call')
      this.#head = ''
      this.#goOn(part)
    }
  }

  #goOn (text) {
    if (this.#head === null) return
    const end = text.indexOf('\n')
    this.#head += end < 0 ? text : text.slice(0, end)
    if (this.#head.length > HEAD) throw new Broken('EXC-22', 'too long a head')
    if (end < 0) return
    validateHead(this.#head)
    this.#head = null
    if (++this.calls > CALLS) throw new Broken('EXC-22', 'too many calls')
  }
}

function validateHead (text) {
  let head
  try {
    head = JSON.parse(text)
  } catch {
    throw new Broken('EXC-22', 'a head that is no JSON')
  }
  const isHead = head !== null && typeof head === 'object' && Object.keys(head).sort().join() === 'id,name'
  if (!isHead || typeof head.id !== 'string' || head.id.length < 1 || head.id.length > 64) {
    throw new Broken('EXC-22', 'not the head of a call')
  }
  if (typeof head.name !== 'string' || !/^[A-Za-z0-9_.-]{1,64}$/.test(head.name)) {
    throw new Broken('EXC-22', 'a call of nothing')
  }
}
