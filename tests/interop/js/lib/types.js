// The types of protocols/records: each turns a MessagePack value into ours and back.
// read() refuses with WIRE-3; a message's decode() adds WIRE-1, WIRE-2 and WIRE-4.
import { hex, toBytes, toInteger, equal } from './bytes.js'
import * as msgpack from './msgpack.js'
import { Broken } from './rules.js'

function must (holds, why) {
  if (!holds) throw new Broken('WIRE-3', why)
}

// `plain` is how vectors and receipt files write a value.
const type = (read, write, plain) => ({ read, write, plain: plain ?? ((value) => value) })
const same = (value) => value

/** A number from `least` to `most`. */
export const integer = (most, least = 0) => type((value) => {
  must(typeof value === 'bigint' && value >= least && value <= most, 'integer')
  return Number(value)
}, same)

export const u8 = integer(0xff)
export const u16 = integer(0xffff)
export const u32 = integer(0xffffffff)
/** A BigInt: JavaScript's numbers end at 2^53. */
export const u64 = type((value) => {
  must(typeof value === 'bigint' && value >= 0n && value < 1n << 63n, 'u64')
  return value
}, same, Number)

export const bytes = (least, most = least) => type((value) => {
  must(value instanceof Uint8Array && value.length >= least && value.length <= most, 'bytes')
  return value
}, same, hex)

export const bytes16 = bytes(16)
export const bytes20 = bytes(20)
export const bytes32 = bytes(32)
export const bytes65 = bytes(65)
/** A BigInt of 0 to 2^128-1 in 16 bytes (WIRE-6). */
export const amount = type(
  (value) => toInteger(bytes16.read(value)), (value) => toBytes(value, 16), String)

/** Text of so many code points, and of a form if one is given. */
export const text = (most, least = 0, form = /^/) => type((value) => {
  must(typeof value === 'string', 'text')
  const size = value.length <= most && value.length >= least * 2 ? value.length : [...value].length
  must(size >= least && size <= most, 'text of another length')
  must(form.test(value), 'text of another form')
  return value
}, same)

export const printable = (most) => type((value) => {
  must(typeof value === 'string' && value.length <= most && /^[!-~]+$/.test(value), 'name')
  return value
}, same)

export const name = printable(64)

export const float = (isGood) => type((value) => {
  must(value instanceof msgpack.Float && Number.isFinite(value.value) && isGood(value.value), 'float')
  return value.value
}, (value) => new msgpack.Float(value))

/** One of a list: strings or small integers. */
export const oneOf = (...choices) => type((value) => {
  const plain = typeof value === 'bigint' ? Number(value) : value
  must(choices.includes(plain), 'one of a list')
  return plain
}, same)

export const list = (item, most, least = 0) => type((value) => {
  must(Array.isArray(value) && value.length >= least && value.length <= most, 'array')
  return value.map(item.read)
}, (value) => value.map(item.write), (value) => value.map(item.plain))

/** A message with tag (null: none) and fields {name: type}, in the order of the wire. */
export function message (kind, tag, fields) {
  const rows = Object.entries(fields)
  const skip = tag === null ? 0 : 1
  const self = {
    kind,
    tag,
    fields,
    read (value) {
      must(Array.isArray(value) && value.length === rows.length + skip, `${kind}: number of fields`)
      must(skip === 0 || value[0] === BigInt(tag), `${kind}: tag`)
      const entries = rows.map(([field, one], index) => [field, one.read(value[index + skip])])
      return { is: kind, ...Object.fromEntries(entries) }
    },
    write (value) {
      const written = rows.map(([field, one]) => one.write(value[field]))
      return skip === 0 ? written : [tag, ...written]
    },
    plain: (value) => Object.fromEntries(rows.map(([field, one]) => [field, one.plain(value[field])])),
    encode: (value) => msgpack.encode(self.write(value)),
    decode: (encoded, limit = Infinity) => decodeOneOf([self], encoded, limit)
  }
  return self
}

/** One of several tagged messages, as a part of another. */
export const union = (...kinds) => type((value) => {
  must(Array.isArray(value), 'a tagged part')
  const kind = kinds.find((one) => value[0] === BigInt(one.tag))
  must(kind !== undefined, 'a known tag')
  return kind.read(value)
}, (value) => kinds.find((one) => one.kind === value.is).write(value),
(value) => kinds.find((one) => one.kind === value.is).plain(value))

/** Decode bytes as one of the messages. Rules WIRE-1 to WIRE-4, in this order. */
export function decodeOneOf (kinds, encoded, limit = Infinity) {
  if (encoded.length > limit) throw new Broken('WIRE-1', `${encoded.length} bytes`)
  const value = msgpack.decode(encoded)
  const read = kinds.length === 1 ? kinds[0].read(value) : union(...kinds).read(value)
  const kind = kinds.find((one) => one.kind === read.is)
  if (!equal(kind.encode(read), encoded)) throw new Broken('WIRE-4', 'not the shortest form')
  return read
}
