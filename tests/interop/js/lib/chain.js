// What a payer and a payee need of the chain (protocols/ledger, "On chain"), over JSON-RPC.
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { concat, hex, toBytes, toInteger, unhex, utf8 } from './bytes.js'
import { channelId, domainSeparator, keccak, signDigest } from './signatures.js'

const GAS = 400_000n
const TIP = 1_000_000_000n
const [NONE, CLOSED] = [0n, 3n]

const selector = (signature) => keccak(utf8(signature)).slice(0, 4)
const word = (value) => value instanceof Uint8Array
  ? concat(new Uint8Array(32 - value.length), value)
  : toBytes(value, 32)
/** A call whose arguments are all 32-byte words. */
export const call = (signature, ...words) => concat(selector(signature), ...words.map(word))

/** RLP of nested arrays of bytes. */
function rlp (item) {
  if (item instanceof Uint8Array) {
    if (item.length === 1 && item[0] < 0x80) return item
    return concat(rlpHead(item.length, 0x80), item)
  }
  const body = concat(...item.map(rlp))
  return concat(rlpHead(body.length, 0xc0), body)
}

function rlpHead (length, first) {
  if (length < 56) return Uint8Array.of(first + length)
  const size = minimal(BigInt(length))
  return concat(Uint8Array.of(first + 55 + size.length), size)
}

/** An integer without leading zeros; zero is empty. */
function minimal (value) {
  const text = BigInt(value).toString(16)
  return value === 0n ? new Uint8Array(0) : new Uint8Array(Buffer.from(text.padStart(text.length + text.length % 2, '0'), 'hex'))
}

export class Chain {
  #id = 0

  constructor (url, { chainId, token, channels }) {
    Object.assign(this, { url, chainId, token, channels })
  }

  async rpc (method, ...params) {
    const body = JSON.stringify({ jsonrpc: '2.0', id: ++this.#id, method, params })
    const reply = await fetch(this.url, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
    const { result, error } = await reply.json()
    if (error !== undefined) throw new Error(`${method}: ${error.message}`)
    return result
  }

  async read (to, input) {
    return unhex(await this.rpc('eth_call', { to: hex(to), data: hex(input) }, 'latest'))
  }

  /** Send a transaction (EIP-1559) and wait until it is in a block. */
  async send (account, to, input) {
    const nonce = BigInt(await this.rpc('eth_getTransactionCount', hex(account.address), 'pending'))
    const fee = BigInt(await this.rpc('eth_gasPrice')) * 2n + TIP
    const fields = [this.chainId, nonce, TIP, fee, GAS].map((one) => minimal(BigInt(one)))
    const unsigned = [...fields, to, new Uint8Array(0), input, []]
    const { r, s, bit } = signDigest(account, keccak(concat(Uint8Array.of(2), rlp(unsigned))))
    const signature = [BigInt(bit), toInteger(r), toInteger(s)].map(minimal)
    const raw = concat(Uint8Array.of(2), rlp([...unsigned, ...signature]))
    const hash = await this.rpc('eth_sendRawTransaction', hex(raw))
    for (;;) {
      const receipt = await this.rpc('eth_getTransactionReceipt', hash)
      if (receipt !== null) {
        if (BigInt(receipt.status) !== 1n) throw new Error(`the transaction ${hash} failed`)
        return receipt
      }
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  /** Deposit `amount` wei for `payee`; gives the channel's terms. The payer signs its vouchers. */
  async openChannel (account, payee, amount, salt) {
    const terms = { payer: account.address, payee, signer: new Uint8Array(20), salt }
    const open = concat(...[0, payee, terms.signer, salt].map(word))
    const input = concat(call('transferAndCall(address,uint256,bytes)', this.channels, amount, 96, open.length), open)
    await this.send(account, this.token, input)
    return terms
  }

  /** The ChannelState; null if there is no channel with these terms or it is closed. */
  async fetchChannel (terms) {
    const channel = channelId(terms, domainSeparator(this.chainId, this.channels))
    const row = await this.read(this.channels, call('channelOf(bytes32)', channel))
    const [deposit, claimed, epoch, closes, status] = [0, 1, 2, 3, 4].map((index) =>
      toInteger(row.slice(index * 32, index * 32 + 32)))
    if (status === NONE || status === CLOSED) return null
    return { channel, ...terms, deposit, claimed, epoch: Number(epoch), closes_at: closes }
  }

  /** Redeem one voucher; gives what the payee holds afterwards. */
  async redeem (account, { terms, signed: { voucher, signature } }) {
    const { payer, signer, salt } = terms
    const { lane, amount, epoch } = voucher
    // Offsets of the array, its one tuple, and the tuple's bytes.
    const padded = concat(signature, new Uint8Array(96 - signature.length))
    const input = concat(
      call('redeem(address,(address,address,bytes32,uint32,uint128,uint16,bytes)[])',
        account.address, 64, 1, 32, payer, signer, salt, lane, amount, epoch, 224, signature.length), padded)
    await this.send(account, this.channels, input)
    return this.balance(account.address)
  }

  async balance (address) {
    return toInteger(await this.read(this.token, call('balanceOf(address)', address)))
  }
}

export const randomSecret = () => secp256k1.utils.randomSecretKey()
/** Of a channel of ours: 8 bytes that do not come twice, the others zero. */
export const randomSalt = () => concat(new Uint8Array(24), randomSecret().slice(0, 8))
