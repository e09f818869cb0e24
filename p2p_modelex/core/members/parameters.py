"""The times and bounds of what members share; they also stand in protocols/members/README.md."""

from p2p_modelex.units import Millis

MEMBERS_PROTOCOL = "/modelex/members/1"
MEMBERS_TIMERS = "members/"

TELL_INTERVAL_MS = Millis(2_000)
"""A stream to each fellow costs up to a millisecond of CPU at both ends."""

FRESH_MS = Millis(3 * TELL_INTERVAL_MS)
"""What was told longer ago counts no more: three times it did not come again."""

FELLOWS_MAX = 16
"""Members whom one shares with: half of them before, half behind it in the ring of peer ids, so
that it is mutual. Streams to and from so many take a hundredth of a core or two.
"""

NEED_MS = Millis(2_000)
"""How long a job waits for others to lend. Asking one over an ocean, where a connection may have to
be made first, takes up to half a second; with no more time than that 65 of 228 requests of a farm
over ten regions were refused, mostly to be refused elsewhere (simulations/results/engines.md).
"""

CALL_TIMEOUT_MS = Millis(5_000)
"""For a stream, from its opening to its end: who is asked may have to read the channel first, and
what it lends is good for the next job.
"""

CALLS_MAX = 128
CALLS_PER_PEER_MAX = 8
"""Streams of others under way, and of one of them."""

NEEDS_MAX = 256
"""Channels for which we ask others at once: as many as jobs in hand."""

UNREAD_MAX = 64
"""Requests that wait for us to read their channel from the chain."""
