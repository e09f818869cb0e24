// The part of MessagePack that protocols/records allows, strictly.
import { Broken } from './rules.js'

const ARRAY_MAX = 1024
const NESTING_MAX = 1024
// Without ignoreBOM a decoder drops a leading byte order mark in silence.
const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** A 64-bit float: apart from integers, which JavaScript would mix with it. */
export class Float {
  constructor (value) { this.value = value }
}

/** A map without entries: one MessagePack value (WIRE-2) of no type that we know (WIRE-3). */
export const EMPTY_MAP = Symbol('map')

/** The one value that `bytes` are: null, boolean, BigInt, Float, string, Uint8Array, array. */
export function decode (bytes) {
  const reader = new Reader(bytes)
  const value = reader.value(0)
  if (reader.at !== bytes.length) throw new Broken('WIRE-2', 'bytes after the value')
  return value
}

class Reader {
  constructor (bytes) {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.at = 0
  }

  take (size) {
    if (this.at + size > this.bytes.length) throw new Broken('WIRE-2', 'cut off')
    this.at += size
    return this.at - size
  }

  size (width) {
    const at = this.take(width)
    return width === 1 ? this.view.getUint8(at) : width === 2 ? this.view.getUint16(at) : this.view.getUint32(at)
  }

  raw (size) {
    const at = this.take(size)
    // A copy, and no Buffer, whatever we were given.
    return new Uint8Array(this.bytes.subarray(at, at + size))
  }

  string (size) {
    try {
      return text.decode(this.raw(size))
    } catch (error) {
      throw error instanceof Broken ? error : new Broken('WIRE-2', 'text that is not UTF-8')
    }
  }

  array (size, depth) {
    if (size > ARRAY_MAX || depth >= NESTING_MAX) throw new Broken('WIRE-2', 'too large an array')
    return Array.from({ length: size }, () => this.value(depth + 1))
  }

  map (size) {
    if (size > 0) throw new Broken('WIRE-2', 'a map with entries')
    return EMPTY_MAP
  }

  value (depth) {
    const head = this.size(1)
    if (head < 0x80) return BigInt(head)
    if (head >= 0xe0) return BigInt(head - 256)
    if (head < 0x90) return this.map(head & 15)
    if (head < 0xa0) return this.array(head & 15, depth)
    if (head < 0xc0) return this.string(head & 31)
    switch (head) {
      case 0xc0: return null
      case 0xc2: return false
      case 0xc3: return true
      case 0xc4: case 0xc5: case 0xc6: return this.raw(this.size(1 << (head - 0xc4)))
      case 0xca: return new Float(this.view.getFloat32(this.take(4)))
      case 0xcb: return new Float(this.view.getFloat64(this.take(8)))
      case 0xcc: case 0xcd: case 0xce: return BigInt(this.size(1 << (head - 0xcc)))
      case 0xcf: return this.view.getBigUint64(this.take(8))
      case 0xd0: return BigInt(this.view.getInt8(this.take(1)))
      case 0xd1: return BigInt(this.view.getInt16(this.take(2)))
      case 0xd2: return BigInt(this.view.getInt32(this.take(4)))
      case 0xd3: return this.view.getBigInt64(this.take(8))
      case 0xd9: case 0xda: case 0xdb: return this.string(this.size(1 << (head - 0xd9)))
      case 0xdc: case 0xdd: return this.array(this.size(2 << (head - 0xdc)), depth)
      case 0xde: case 0xdf: return this.map(this.size(2 << (head - 0xde)))
      default: throw new Broken('WIRE-2', 'a reserved byte or an extension')
    }
  }
}

/** The shortest form (WIRE-4) of what `decode` gives. */
export function encode (value) {
  const parts = []
  put(value, parts)
  return new Uint8Array(Buffer.concat(parts))
}

// Heads by size: [the first size that needs more, head byte, bytes of the size].
const BYTES = [[0x100, 0xc4, 1], [0x10000, 0xc5, 2], [2 ** 32, 0xc6, 4]]
const TEXT = [[32, 0xa0, 0], [0x100, 0xd9, 1], [0x10000, 0xda, 2], [2 ** 32, 0xdb, 4]]
const ARRAY = [[16, 0x90, 0], [0x10000, 0xdc, 2], [2 ** 32, 0xdd, 4]]
const INTEGER = [[0x80, 0, 0], [0x100, 0xcc, 1], [0x10000, 0xcd, 2], [2 ** 32, 0xce, 4], [2 ** 64, 0xcf, 8]]

function head (value, forms) {
  const [, first, width] = forms.find(([limit]) => value < limit)
  if (width === 0) return Buffer.from([first + Number(value)])
  return Buffer.from(first.toString(16) + BigInt(value).toString(16).padStart(width * 2, '0'), 'hex')
}

function put (value, parts) {
  if (typeof value === 'bigint' || typeof value === 'number') {
    if (value < 0) throw new Error('no message has negative integers')
    parts.push(head(value, INTEGER))
  } else if (typeof value === 'string') {
    if (!value.isWellFormed()) throw new Error('a lone surrogate (WIRE-5)')
    const bytes = Buffer.from(value, 'utf8')
    parts.push(head(bytes.length, TEXT), bytes)
  } else if (value instanceof Uint8Array) {
    parts.push(head(value.length, BYTES), value)
  } else if (value instanceof Float) {
    const bytes = Buffer.alloc(9, 0xcb)
    bytes.writeDoubleBE(value.value, 1)
    parts.push(bytes)
  } else {
    parts.push(head(value.length, ARRAY))
    for (const one of value) put(one, parts)
  }
}
