// A libp2p host as protocols/transport describes it.
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { gossipsub } from '@libp2p/gossipsub'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { identify } from '@libp2p/identify'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { createLibp2p } from 'libp2p'

export const TOPIC = '/modelex/announcements/1/0'
export const PING = '/modelex/ping/1'
export const STREAMS_PER_PEER_MAX = 192

export async function openHost (seed, { muxer = {}, listen = ['/ip4/127.0.0.1/tcp/0'] } = {}) {
  return createLibp2p({
    privateKey: await generateKeyPairFromSeed('Ed25519', seed),
    addresses: { listen },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux(muxer)],
    connectionMonitor: { enabled: false },
    services: {
      identify: identify(),
      ping: ping(),
      pubsub: gossipsub({
        globalSignaturePolicy: 'StrictSign', allowPublishToZeroTopicPeers: true, emitSelf: false
      })
    }
  })
}
