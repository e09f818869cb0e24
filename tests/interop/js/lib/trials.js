// Streams put to the test from both ends: the same protocols are served by tests/interop.
// Frames as in protocols/transport, of at most 1 MiB.
import { createHash, randomBytes } from 'node:crypto'
import { FrameStream, StreamBroken } from './frames.js'

export const LIMIT = 1024 * 1024
export const ECHO = '/interop/echo/1'
export const SINK = '/interop/sink/1'
export const SOURCE = '/interop/source/1'
export const HALF = '/interop/half/1'
export const RESET = '/interop/reset/1'

const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const FRAME = 64 * 1024

export function serveTrials (peer) {
  // Every frame back; FIN for FIN.
  peer.serve(ECHO, LIMIT, async (frames) => {
    for (let frame = await frames.receive(); frame !== null; frame = await frames.receive()) await frames.send(frame)
    await frames.closeWrite()
  })
  // The first frame says for how many ms not to read; at FIN the digest of the rest goes back.
  peer.serve(SINK, LIMIT, async (frames) => {
    const pause = Number(Buffer.from(await frames.receive()).toString())
    frames.stream.pause()
    await delay(pause)
    frames.stream.resume()
    await frames.send(await digestOf(frames))
    await frames.closeWrite()
  })
  // A frame with a size: so many bytes come, then their digest, then FIN.
  peer.serve(SOURCE, LIMIT, async (frames) => {
    const size = Number(Buffer.from(await frames.receive()).toString())
    await frames.send(await pour(frames, size))
    await frames.closeWrite()
  })
  // Says nothing more (FIN) at once, and still reads: the count of frames is in `counters.half`.
  peer.serve(HALF, LIMIT, async (frames) => {
    await frames.closeWrite()
    while (await frames.receive() !== null) peer.counters.half = (peer.counters.half ?? 0) + 1
  })
  // Resets after one frame.
  peer.serve(RESET, LIMIT, async (frames) => {
    await frames.receive()
    frames.reset()
  })
}

async function digestOf (frames) {
  const hash = createHash('sha256')
  for (let frame = await frames.receive(); frame !== null; frame = await frames.receive()) hash.update(frame)
  return hash.digest()
}

async function pour (frames, size) {
  const hash = createHash('sha256')
  for (let left = size; left > 0; left -= FRAME) {
    const frame = randomBytes(Math.min(FRAME, left))
    hash.update(frame)
    await frames.send(frame)
  }
  return hash.digest()
}

const open = (peer, remote, protocol) => peer.open(remote, protocol, LIMIT)
const text = (value) => Buffer.from(String(value))

export const TRIALS = {
  /** `streams` at once, each `count` frames of `size` there and back. */
  async echo (peer, remote, { streams, count, size }) {
    await Promise.all(Array.from({ length: streams }, async () => {
      const frames = await open(peer, remote, ECHO)
      for (let sent = 0; sent < count; sent++) {
        const frame = randomBytes(size)
        const back = await frames.ask(frame)
        if (Buffer.compare(frame, back) !== 0) throw new Error('another frame came back')
      }
      await frames.closeWrite()
      if (await frames.receive() !== null) throw new Error('FIN was expected')
    }))
  },

  /** `size` bytes to a reader that begins after `pause` ms; gives how long it took. */
  async sink (peer, remote, { size, pause }) {
    const began = Date.now()
    const frames = await open(peer, remote, SINK)
    await frames.send(text(pause))
    const digest = await pour(frames, size)
    const queued = Date.now() - began
    await frames.closeWrite()
    if (Buffer.compare(await frames.receive(), digest) !== 0) throw new Error('another digest')
    return { queued, took: Date.now() - began }
  },

  /** `size` bytes from a writer, read only after `pause` ms. */
  async source (peer, remote, { size, pause }) {
    const frames = await open(peer, remote, SOURCE)
    await frames.send(text(size))
    frames.stream.pause()
    await delay(pause)
    const held = frames.stream.readBufferLength
    frames.stream.resume()
    const hash = createHash('sha256')
    for (let left = size; left > 0;) {
      const frame = await frames.receive()
      hash.update(frame)
      left -= frame.length
    }
    if (Buffer.compare(await frames.receive(), hash.digest()) !== 0) throw new Error('another digest')
    await frames.closeWrite()
    return { held }
  },

  /** The other end has sent FIN; frames still arrive there. */
  async half (peer, remote, { count }) {
    const frames = await open(peer, remote, HALF)
    if (await frames.receive() !== null) throw new Error('FIN was expected')
    for (let sent = 0; sent < count; sent++) await frames.send(text(sent))
    await frames.closeWrite()
  },

  /** The other end resets: that is no FIN. */
  async reset (peer, remote) {
    const frames = await open(peer, remote, RESET)
    await frames.send(text('now'))
    try {
      await frames.receive()
    } catch (error) {
      if (error instanceof StreamBroken) return
      throw error
    }
    throw new Error('a reset was expected')
  },

  /** Open streams one after another and hold them; gives how many answer. */
  async hoard (peer, remote, { count }) {
    peer.hoard = []
    for (let opened = 0; opened < count; opened++) {
      try {
        const frames = await open(peer, remote, ECHO)
        await frames.ask(text(opened))
        peer.hoard.push(frames)
      } catch { /* refused */ }
    }
    return peer.hoard.length
  },

  async release (peer) {
    for (const frames of peer.hoard) await frames.closeWrite()
  },

  /** A stream that waits for a frame: how it ends when the connection does. */
  async wait (peer, remote) {
    const frames = await open(peer, remote, ECHO)
    await frames.ask(text('here'))
    peer.waiting = frames.receive().then(
      (frame) => frame === null ? 'fin' : 'frame', (error) => error instanceof StreamBroken ? 'broken' : error.message)
  }
}
