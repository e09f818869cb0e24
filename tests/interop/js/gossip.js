// js-libp2p's gossipsub doing what benchmarks/gossip.py does: node gossip.js WORK
// WORK: JSON, see benchmarks/gossip.py. Prints one line of JSON.
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { gossipsub } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import { tcp } from '@libp2p/tcp'
import { createLibp2p } from 'libp2p'

const work = JSON.parse(process.argv[2])
const hosts = []
for (let i = 0; i < work.nodes; i++) {
  hosts.push(await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: {
      identify: identify(),
      pubsub: gossipsub({
        D: 6, Dlo: 4, Dhi: 12, heartbeatInterval: 1000, scoreParams: { IPColocationFactorWeight: 0 }
      })
    },
    // All of them live at one address, which neither its limits nor its scores are meant for.
    connectionManager: { inboundConnectionThreshold: 1000, maxIncomingPendingConnections: 1000 },
    connectionMonitor: { enabled: false }
  }))
}
const sent = new Map()
const latencies = []
for (const host of hosts) {
  host.services.pubsub.subscribe(work.topic)
  host.services.pubsub.addEventListener('message', (event) => {
    const key = Buffer.from(event.detail.data).toString('hex')
    latencies.push(performance.now() - sent.get(key))
  })
}
for (const [one, other] of work.links) {
  await hosts[one].dial(hosts[other].getMultiaddrs()[0])
}
await sleep(work.settle_ms)
const before = process.cpuUsage()
for (let i = 0; i < work.messages; i++) {
  const payload = new Uint8Array(randomBytes(work.bytes))
  sent.set(Buffer.from(payload).toString('hex'), performance.now())
  await hosts[i % work.nodes].services.pubsub.publish(work.topic, payload)
  await sleep(work.period_ms)
}
const until = performance.now() + work.drain_ms
while (latencies.length < work.messages * (work.nodes - 1) && performance.now() < until) {
  await sleep(50)
}
const used = process.cpuUsage(before)
latencies.sort((a, b) => a - b)
console.log(JSON.stringify({
  messages: work.messages,
  delivered: latencies.length,
  cpu_s: (used.user + used.system) / 1e6,
  latency_p50_ms: latencies[Math.floor(latencies.length / 2)] ?? 0,
  latency_p99_ms: latencies[Math.floor(latencies.length * 0.99)] ?? 0,
  resident_mib: process.memoryUsage().rss / 2 ** 20
}))
process.exit(0)
