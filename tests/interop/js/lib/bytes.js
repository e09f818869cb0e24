// Bytes, hexadecimal and big-endian integers.

export const hex = (bytes) => '0x' + Buffer.from(bytes).toString('hex')

export function unhex (text) {
  if (!/^0x([0-9a-f]{2})*$/.test(text)) throw new Error(`not hexadecimal: ${text.slice(0, 40)}`)
  return new Uint8Array(Buffer.from(text.slice(2), 'hex'))
}

export const concat = (...parts) => new Uint8Array(Buffer.concat(parts))
export const ascii = (text) => new Uint8Array(Buffer.from(text, 'ascii'))
export const utf8 = (text) => new Uint8Array(Buffer.from(text, 'utf8'))
export const compare = (a, b) => Buffer.compare(a, b)
export const equal = (a, b) => Buffer.compare(a, b) === 0
export const isZero = (bytes) => bytes.every((byte) => byte === 0)

/** A non-negative BigInt (or number) as `size` bytes, big-endian. */
export function toBytes (value, size) {
  const text = BigInt(value).toString(16).padStart(size * 2, '0')
  if (text.length !== size * 2) throw new Error(`${value} does not fit ${size} bytes`)
  return new Uint8Array(Buffer.from(text, 'hex'))
}

/** A non-negative BigInt from big-endian bytes. */
export const toInteger = (bytes) => BigInt('0x0' + Buffer.from(bytes).toString('hex'))
