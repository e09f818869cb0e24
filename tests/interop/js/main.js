// A peer driven by JSON lines: {"id", "do", ...} on standard input, {"id", "ok"} or {"id", "error"}
// on standard output. The first line in is the configuration, the first line out the peer's address.
import { createInterface } from 'node:readline'
import { multiaddr } from '@multiformats/multiaddr'
import { hex, unhex } from './lib/bytes.js'
import { EXCHANGE, debtOf, makeRequest, runJob } from './lib/jobs.js'
import { EXCHANGE_FRAME_BYTES } from './lib/messages.js'
import { libp2pPeer, Peer } from './lib/peer.js'
import { serveTrials, TRIALS } from './lib/trials.js'

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const read = async () => JSON.parse((await lines.next()).value ?? '{"do":"stop"}')
// BigInts (wei, sequences) as text, bytes as hexadecimal.
const plain = (_, value) => typeof value === 'bigint' ? String(value) : value instanceof Uint8Array ? hex(value) : value
const say = (object) => process.stdout.write(JSON.stringify(object, plain) + '\n')

const configuration = await read()
const peer = new Peer(unhex(configuration.seed), unhex(configuration.secret), configuration.network)
const remoteOf = ({ peer: key }) => libp2pPeer(unhex(key))

const COMMANDS = {
  ...Object.fromEntries(Object.entries(TRIALS).map(([name, trial]) => [
    name, (command) => trial(peer, remoteOf(command), command)])),
  async dial ({ address }) {
    const connection = await peer.host.dial(multiaddr(address))
    return { multiplexer: connection.multiplexer, encryption: connection.encryption }
  },
  async hangup (command) {
    if (command.how === 'abort') peer.host.getConnections(remoteOf(command)).forEach((one) => one.abort(new Error('abort')))
    else await peer.host.hangUp(remoteOf(command))
  },
  /** What identify told us; `ping` is the round trip of /ipfs/ping/1.0.0 in ms. */
  async identify (command) {
    const known = await peer.host.peerStore.get(remoteOf(command)).catch(() => null)
    if (known === null) return { protocols: [] }
    const { protocols, metadata, addresses } = known
    return {
      protocols,
      agent: Buffer.from(metadata.get('AgentVersion') ?? []).toString(),
      addresses: addresses.map(({ multiaddr }) => multiaddr.toString())
    }
  },
  async ping (command) { return peer.host.services.ping.ping(remoteOf(command)) },
  /** Yamux's own pings: the round trip that the muxer measured, -1 if none was answered. */
  async rtt (command) {
    return peer.host.getConnections(remoteOf(command)).map((one) => one.rtt ?? one.muxer?.rtt ?? -1)
  },
  async waited () { return peer.waiting },
  async status () {
    return {
      connections: peer.host.getConnections().map(({ remotePeer }) => hex(remotePeer.publicKey.raw)),
      announced: peer.announced,
      directory: peer.judge.all().map(({ signer, advertisement }) => ({ peer: signer, advertisement })),
      counters: peer.counters,
      faults: peer.faults,
      sold: peer.sold,
      subscribers: peer.host.services.pubsub.getSubscribers('/modelex/announcements/1/0').length,
      rss: process.memoryUsage().rss
    }
  },
  async advertise ({ offers = [], change, withdraw = false }) {
    const addresses = withdraw ? [] : peer.host.getMultiaddrs().map((one) => one.toString().replace(/\/p2p\/.*/, ''))
    const typed = offers.map((offer) => ({
      ...offer,
      weights: unhex(offer.weights),
      prompt_price: BigInt(offer.prompt_price),
      completion_price: BigInt(offer.completion_price)
    }))
    peer.offer = typed[0] ?? null
    return peer.advertise({ addresses, offers: typed, change, accounts: withdraw ? [] : undefined })
  },
  async invent ({ count }) { peer.invent(count) },
  async reconcile (command) { return peer.reconcile(remoteOf(command)) },
  async fetch (command) { return peer.fetch(remoteOf(command), command.keys.map(unhex)) },
  /** A paid job; opens a channel of `deposit` wei first if there is none. */
  async buy (command) {
    const publicKey = unhex(command.peer)
    const purchase = peer.purchase(publicKey, makeRequest(command.request), BigInt(command.max_cost))
    const lane = await peer.lane(purchase.ownership.ownership.operator, BigInt(command.deposit))
    const frames = await peer.open(remoteOf(command), EXCHANGE, EXCHANGE_FRAME_BYTES)
    const done = await runJob(frames, purchase, lane, command)
    const debt = debtOf(done.end)
    // LED-11: what a stream that was lost leaves in doubt is conceded once.
    if (debt !== null && command.concede) lane.due = debt
    return { ...done, channel: lane.channel }
  },
  /** Redeem the newest vouchers; gives the balance before and after. */
  async redeem () {
    const before = await peer.chain.balance(peer.account.address)
    let after = before
    for (const claim of peer.payee.claims()) after = await peer.chain.redeem(peer.account, claim)
    return { before, after }
  }
}

async function run ({ id, do: name, ...command }) {
  try {
    say({ id, ok: await COMMANDS[name](command) ?? null })
  } catch (error) {
    say({ id, error: `${error.name}: ${error.message}`, rule: error.rule ?? null })
  }
}

await peer.start(configuration.options)
serveTrials(peer)
say({
  key: peer.key.publicKey,
  account: peer.account.address,
  addresses: peer.host.getMultiaddrs().map(String)
})
for (let command = await read(); command.do !== 'stop'; command = await read()) void run(command)
await peer.host.stop()
process.exit(0)
