// A Modelex peer: a host, a directory, an account. What protocols/ asks of every node.
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { publicKeyFromRaw } from '@libp2p/crypto/keys'
import { Judge } from './advertisements.js'
import { hex, unhex } from './bytes.js'
import { Chain, randomSalt, randomSecret } from './chain.js'
import { FrameStream } from './frames.js'
import { openHost, PING, STREAMS_PER_PEER_MAX, TOPIC } from './host.js'
import { EXCHANGE, Lane } from './jobs.js'
import {
  Advertisement, Announcements, Envelope, EXCHANGE_FRAME_BYTES, Load, Probe, PROBE_FRAME_BYTES,
  RECONCILE_FRAME_BYTES
} from './messages.js'
import { Payee } from './payee.js'
import { Provider } from './provider.js'
import { fetchAll, RECONCILE, reconcile, serveReconciliation } from './reconcile.js'
import { Broken } from './rules.js'
import * as sig from './signatures.js'

export const PROBE = '/modelex/probe/1'
const IGNORED = ['ANN-4', 'ANN-5']
const ZERO = new Uint8Array(32)

/** network: {chain_id, registry, token, channels, rpc_url}, addresses in hexadecimal. */
export class Peer {
  announced = [] // {peer, sequence, change}, as they came
  counters = { questions: 0, probes: 0, jobs: 0, gossip: 0 }
  faults = [] // rules that others broke
  sold = [] // receipts
  #lanes = new Map()

  constructor (seed, secret, network) {
    const [registry, channels, token] = ['registry', 'channels', 'token'].map((one) => unhex(network[one]))
    this.key = sig.peerKey(seed)
    this.account = sig.accountKey(secret)
    this.network = sig.networkId(network.chain_id, registry)
    this.registryDomain = sig.domainSeparator(network.chain_id, registry)
    this.channelsDomain = sig.domainSeparator(network.chain_id, channels)
    this.chain = new Chain(network.rpc_url, { chainId: network.chain_id, token, channels })
    this.judge = new Judge(this.network, this.registryDomain)
    this.payee = new Payee(this.account.address, this.channelsDomain)
    this.offer = null
  }

  async start (options) {
    this.host = await openHost(this.key.seed, options)
    this.serve(PING, 64, async (frames) => {
      for (let frame = await frames.receive(); frame !== null; frame = await frames.receive()) await frames.send(frame)
      await frames.closeWrite()
    })
    this.serve(RECONCILE, RECONCILE_FRAME_BYTES, (frames) => serveReconciliation(frames, this.judge, this.counters))
    this.serve(PROBE, PROBE_FRAME_BYTES, (frames) => this.#serveProbe(frames))
    this.serve(EXCHANGE, EXCHANGE_FRAME_BYTES, (frames) => this.#serveJob(frames))
    const { pubsub } = this.host.services
    pubsub.topicValidators.set(TOPIC, (_, message) => this.#judgeGossip(message))
    pubsub.addEventListener('message', ({ detail }) => this.#onGossip(detail))
    pubsub.subscribe(TOPIC)
  }

  /** Serve a protocol; a handler that fails resets its stream. */
  serve (protocol, limit, handler) {
    this.host.handle(protocol, async (stream) => {
      const frames = new FrameStream(stream, limit)
      try {
        await handler(frames)
      } catch (error) {
        this.faults.push(error.rule ?? error.message)
        frames.reset()
      }
    }, { maxInboundStreams: STREAMS_PER_PEER_MAX, maxOutboundStreams: STREAMS_PER_PEER_MAX })
  }

  async open (peer, protocol, limit) {
    const stream = await this.host.dialProtocol(peer, protocol, { maxOutboundStreams: 1024 })
    return new FrameStream(stream, limit)
  }

  // ---- gossip (ANN)

  #judgeGossip (message) {
    try {
      this.judge.judgeAnnouncements(message.data, message.from.toString(), Date.now())
      return 'accept'
    } catch (error) {
      if (!(error instanceof Broken)) throw error
      this.faults.push(error.rule)
      return IGNORED.includes(error.rule) ? 'ignore' : 'reject'
    }
  }

  #onGossip (message) {
    if (message.topic !== TOPIC) return
    this.counters.gossip++
    this.announced.push(...Announcements.decode(message.data).items)
  }

  // ---- the directory (ADV, REC)

  /** Sign our advertisement, keep it, and announce it (ADV-15, ANN-6). */
  async advertise ({ addresses, offers, ttlMs = 600_000, change = 0, accounts }) {
    const known = this.judge.known(this.key.publicKey)
    const now = BigInt(Date.now())
    const last = known?.advertisement.sequence ?? 0n
    const advertisement = {
      sequence: now > last ? now : last + 1n,
      ttl_ms: ttlMs,
      agent: 'modelex-interop/1',
      addresses,
      offers,
      accounts: accounts ?? [this.proof],
      section: 0,
      farms: [],
      evidence: ZERO
    }
    const envelope = sig.seal(this.key, 'advertisement', this.network, Advertisement.encode(advertisement))
    this.judge.take(Envelope.encode(envelope), Date.now())
    const item = { peer: this.key.publicKey, sequence: advertisement.sequence, change }
    const { recipients } = await this.host.services.pubsub.publish(TOPIC, Announcements.encode({ items: [item] }))
    return recipients.length
  }

  /** Our own account owns our peer, and signs its receipts. */
  get proof () {
    const ownership = {
      peer: this.key.publicKey,
      operator: this.account.address,
      delegate: this.account.address,
      not_after: BigInt(Date.now() + 30 * 86_400_000)
    }
    return { ownership, signature: sig.signStatement(this.account, 'Ownership', ownership, this.registryDomain) }
  }

  /** Add `count` advertisements of peers that we make up. */
  invent (count) {
    for (let made = 0; made < count; made++) {
      const key = sig.peerKey(randomSecret())
      const advertisement = {
        sequence: BigInt(Date.now()),
        ttl_ms: 600_000,
        agent: 'modelex-interop/1',
        addresses: ['/ip4/192.0.2.1/tcp/4701'],
        offers: [],
        accounts: [],
        section: 0,
        farms: [],
        evidence: ZERO
      }
      const envelope = sig.seal(key, 'advertisement', this.network, Advertisement.encode(advertisement))
      this.judge.take(Envelope.encode(envelope), Date.now())
    }
  }

  async reconcile (peer) {
    return reconcile(await this.open(peer, RECONCILE, RECONCILE_FRAME_BYTES), this.judge)
  }

  async fetch (peer, keys) {
    const frames = await this.open(peer, RECONCILE, RECONCILE_FRAME_BYTES)
    const done = await fetchAll(frames, this.judge, keys)
    await frames.closeWrite()
    return done
  }

  // ---- jobs (PRB, EXC, LED)

  async #serveProbe (frames) {
    const { nonce } = Probe.decode(await frames.receive())
    this.counters.probes++
    const load = { nonce, running: 0, waiting: 0, slots: this.offer === null ? 0 : 4, latency_ms: 5 }
    await frames.send(Load.encode(load))
    await frames.closeWrite()
  }

  async #serveJob (frames) {
    if (this.offer === null) throw new Error('nothing to sell')
    const { account, key: peerKey, network, registryDomain, payee, offer } = this
    const fetchChannel = (terms) => this.chain.fetchChannel(terms)
    this.counters.jobs++
    const job = new Provider(frames, { offer, peerKey, account, network, registryDomain, payee, fetchChannel })
    await job.serve()
    if (job.receipt !== undefined) this.sold.push(job.receipt)
  }

  /** What a purchase from `publicKey` needs, from the directory. */
  purchase (publicKey, request, maxCost) {
    const entry = this.judge.known(publicKey)
    const offer = entry?.advertisement.offers.find(({ model }) => model === request.model)
    if (offer === undefined) throw new Error('it is not in the directory')
    const { network, registryDomain } = this
    return { request, offer, ownership: entry.advertisement.accounts[0], provider: publicKey, network, registryDomain, maxCost }
  }

  /** The lane of our channel to `payee`, which is opened at the first call. */
  async lane (payee, deposit) {
    const known = this.#lanes.get(hex(payee))
    if (known !== undefined) return known
    const terms = await this.chain.openChannel(this.account, payee, deposit, randomSalt())
    const lane = new Lane(this.account, this.channelsDomain, await this.chain.fetchChannel(terms))
    this.#lanes.set(hex(payee), lane)
    return lane
  }
}

/** A libp2p PeerId from a raw Ed25519 key. */
export const libp2pPeer = (publicKey) => peerIdFromPublicKey(publicKeyFromRaw(publicKey))
