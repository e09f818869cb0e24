// Frames on a libp2p stream (protocols/transport): 4 bytes of length, big-endian, and the payload.
import { concat, toBytes, toInteger } from './bytes.js'
import { Broken } from './rules.js'

/** The stream ended in another way than by FIN: nothing may be concluded from it. */
export class StreamBroken extends Error {}

export class FrameStream {
  #unread = new Uint8Array(0)
  #fin = false
  #gone = null
  #wake = () => {}

  constructor (stream, limit) {
    this.stream = stream
    this.limit = limit
    this.#fin = stream.remoteWriteStatus === 'closed' && stream.status === 'open'
    stream.addEventListener('message', ({ data }) => {
      this.#unread = concat(this.#unread, data.subarray())
      this.#wake()
    })
    // A connection that ends closes its streams too; only this event is a FIN.
    stream.addEventListener('remoteCloseWrite', () => {
      this.#fin = true
      this.#wake()
    })
    stream.addEventListener('close', ({ error }) => {
      this.#gone = error ?? new Error('closed')
      this.#wake()
    })
  }

  /** The next frame; null after a FIN between frames. Raises NET-1, NET-2, StreamBroken. */
  async receive () {
    for (;;) {
      const length = this.#unread.length < 4 ? null : Number(toInteger(this.#unread.slice(0, 4)))
      if (length !== null && length > this.limit) {
        this.reset()
        throw new Broken('NET-1', `a frame of ${length} bytes`)
      }
      if (length !== null && this.#unread.length >= 4 + length) {
        const frame = this.#unread.slice(4, 4 + length)
        this.#unread = this.#unread.slice(4 + length)
        return frame
      }
      if (this.#fin && this.stream.readBufferLength === 0) {
        if (this.#unread.length > 0) throw new Broken('NET-2', 'ended inside a frame')
        return null
      }
      if (this.#gone !== null) throw new StreamBroken(this.#gone.message)
      await new Promise((resolve) => { this.#wake = resolve })
    }
  }

  async send (payload) {
    if (!this.stream.send(concat(toBytes(payload.length, 4), payload))) await this.stream.onDrain()
  }

  closeWrite () { return this.stream.close() }

  reset () { this.stream.abort(new Error('reset')) }

  /** Send a question and receive its answer. */
  async ask (question) {
    await this.send(question)
    const answer = await this.receive()
    if (answer === null) throw new StreamBroken('no answer')
    return answer
  }
}
