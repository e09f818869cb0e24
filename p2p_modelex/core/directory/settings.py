"""The knobs of the directory. Protocol bounds are in limits.py and protocols/directory."""

from dataclasses import dataclass

from p2p_modelex import limits


@dataclass(frozen=True, slots=True)
class DirectorySettings:
    """One sentence a field says what rises with it."""

    ttl_ms: int = 30 * 60_000
    """How long our advertisement holds, renewed at half of it. Longer: less traffic (every peer
    fetches every renewal), and a crashed node is offered for longer."""
    reconcile_interval_ms: int = 30_000
    """Mean pause between rounds of reconciliation. Longer: less traffic, later news."""
    reconcile_neighbours: int = 2
    """Neighbours in each round. More: faster spreading, more traffic."""
    stranger_share: float = 1 / 8
    """This share of the rounds meets one more peer, drawn from the directory and dialled. More: the
    halves that a partition made of a mesh find each other sooner, at the cost of dials."""
    strangers_below: int = 64
    """Only while there are fewer connections than this, since each such dial leaves one."""
    joining_reconciliations: int = 3
    """A new connection is reconciled with at once until this many brought something."""
    joining_most: int = 16
    """Or until so many succeeded: who hides all others says that there is nothing to bring. More: a
    newcomer with many hostile neighbours and one honest one is not kept in the dark for long."""
    joining_retry_ms: int = 2_000
    """The pause between rounds until the first reconciliation succeeded."""
    announce_interval_ms: int = 10_000
    """Our own changes within it travel in one gossip message."""
    announce_delay_ms: int = 500
    """The first change waits this long for others to join it."""
    fetch_jitter_ms: int = 500
    """An announced record is fetched within this time, at random, so that its origin is not
    asked by all at once. Longer: more of the mesh asks a neighbour that has it already."""
    fetch_pause_ms: int = 5_000
    """A peer is asked for announced records once in this time, then for all that wait, unless the
    last question is still open. Longer: later news where much is announced, and fewer sessions
    under a flood of announcements."""
    fetch_attempts: int = 3
    """Sources tried for an announced record: forwarder, publisher, the peer itself, in turn."""
    answer_timeout_ms: int = 15_000
    """A reconciliation waits this long for one answer."""
    session_timeout_ms: int = 5 * 60_000
    """And takes this long in all; what is missing then comes in the next one."""
    entries_max: int = limits.DIRECTORY_ENTRIES_MAX
    """Advertisements kept, at about 2 KiB of memory each."""
