"""Every bound in one place, each with its reason. Protocol bounds also stand in protocols/."""

from p2p_modelex.units import Millis

KIB = 1024
MIB = 1024 * KIB

# Records. ARCHITECTURE's 4 KiB keeps 10,000 advertisements under 40 MiB of memory and disk.
ADVERTISEMENT_BYTES = 4 * KIB
ADDRESSES_MAX = 8
ADDRESS_TEXT_BYTES = 256
OFFERS_MAX = 16
ACCOUNTS_MAX = 4
FEATURES_MAX = 16
NAME_BYTES = 64
FARMS_MAX = 4  # certificates in an advertisement, at 300 bytes at most
TTL_MIN_MS = Millis(10_000)
TTL_MAX_MS = Millis(24 * 3600 * 1000)
# A sender's clock may run ahead by this much before its records are refused.
CLOCK_SKEW_MS = Millis(60_000)

# Farms. A certificate has 153 bytes at most; a name is short, as each certificate repeats it.
CERTIFICATE_BYTES = 256
FARM_NAME_CHARS = 32
# What is revoked before it would expire; a record of so many has 2.7 KiB.
REVOKED_MAX = 512
FARM_RECORD_BYTES = 4 * KIB
FARM_FRAME_BYTES = FARM_RECORD_BYTES + 64
# An owner need not be there all the time: its record may hold for a month.
FARM_TTL_MAX_MS = Millis(30 * 24 * 3600 * 1000)

# Frames on streams: 4-byte length, then at most this much.
EXCHANGE_FRAME_BYTES = 256 * KIB
RECONCILE_FRAME_BYTES = 512 * KIB
PING_FRAME_BYTES = 64

# Exchange. Bounds on text count code points (WIRE-3); the frame above bounds the bytes.
PROMPT_BYTES = 192 * KIB
MESSAGES_MAX = 256
STOPS_MAX = 8
STOP_BYTES = 64
GRAMMAR_BYTES = 8 * KIB
CHUNK_TEXT_BYTES = 16 * KIB
COMPLETION_TOKENS_MAX = 65_536
REASON_BYTES = 512
LANES_MAX = 64  # concurrent jobs on one channel

# Farms. What members tell each other: 32 payers at 27 bytes, 32 channels at 54, and some more.
MEMBERS_FRAME_BYTES = 4 * KIB
SERVED_TOLD_MAX = 32
SPARES_TOLD_MAX = 32

# Gossip. 4 KiB advertisements travel by reconciliation; an announcement is about 100 bytes.
ANNOUNCEMENTS_PER_MESSAGE = 64
GOSSIP_MESSAGE_BYTES = 16 * KIB

# Directory.
DIRECTORY_ENTRIES_MAX = 50_000
RECONCILE_ROUNDS_MAX = 64
RECONCILE_RANGES_MAX = 256
RECONCILE_BATCH_RECORDS = 64

# Registry. Entries kept of each sort, public and listed, at about 370 bytes each; read at most this
# many in all, the listed first.
REGISTRY_ENTRIES_MAX = 50_000

# Transport.
STREAMS_PER_PEER_MAX = 192  # py-libp2p hangs silently at 256
CONNECTIONS_MAX = 1024

# Store. A receipt row holds a prompt (a frame at most) and a completion of COMPLETION_TOKENS_MAX.
ROW_BYTES = 4 * MIB
# Finished jobs are kept a week, to tell the operator what happened; their receipts for ever.
JOBS_KEPT_MS = Millis(7 * 24 * 3600 * 1000)
# Inbound connections from one address; loopback is exempt (a test mesh lives there).
CONNECTIONS_PER_IP_MAX = 32
# And from one subnet (IPv4 /24, IPv6 /56), which one customer may own.
CONNECTIONS_PER_SUBNET_MAX = 64
# Both ends dialling at once make two; one more while a dead one is not yet noticed.
CONNECTIONS_PER_PEER_MAX = 3
# Handshakes under way, in all and from one address; each costs up to 10 ms CPU at its end.
HANDSHAKES_MAX = 64
HANDSHAKES_PER_IP_MAX = 16
# The fewest connections a node keeps by redialling its bootstrap peers.
NEIGHBOURS_MIN = 4
# Accepted gossip waiting for the node, and peers seen; the oldest are dropped and counted.
GOSSIP_QUEUE_MAX = 1024
SEEN_QUEUE_MAX = 1024
# Gossip for each origin: a token bucket. ARCHITECTURE's budget is 5 messages/s network-wide.
GOSSIP_ORIGIN_RATE = 1.0
GOSSIP_ORIGIN_BURST = 16
GOSSIP_ORIGINS_MAX = 10_000
# Gossip of all origins together: bounds CPU (5 ms a message) and the duplicate cache.
GOSSIP_TOTAL_RATE = 50.0
GOSSIP_TOTAL_BURST = 500

# Rows of a contract's list in one answer: a page of registry entries has at most 32 KiB.
PAGE_ROWS_MAX = 50

# Settlement. About 16,000-20,000 gas a voucher against 16,777,216 for one transaction (EIP-7825).
REDEMPTION_VOUCHERS_MAX = 500
