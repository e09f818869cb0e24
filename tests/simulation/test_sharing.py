"""Directories that share what is equal in them: to a core they are as those of a real node."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_modelex.core.directory.entry import Entry
from p2p_modelex.core.directory.holdings import Holdings
from p2p_modelex.core.directory.index import Group
from p2p_modelex.core.directory.rules import expires_at
from p2p_modelex.simulation.models.cryptography import Costs, Notary, StubScheme
from p2p_modelex.simulation.nodes import catalogue as catalogues
from p2p_modelex.simulation.nodes.catalogue import Catalogue
from p2p_modelex.simulation.nodes.holdings import SharedHoldings
from p2p_modelex.simulation.nodes.life import START_MS
from p2p_modelex.units import UnixMs
from tests.core.directory.worlds import Key, advertisement, offer
from tests.simulation.worlds import play

PEERS = [Key(number).peer for number in range(24)]
BOUNDS = st.binary(max_size=3)
TTLS = (10_000, 20_000, 30_000)

CHURN = """
name = "churn"
duration = "8 min"
settle = "4 min"

[[population]]
name = "bootstraps"
role = "bootstrap"
count = 1
join_over = "0 s"

[[population]]
name = "providers"
count = 5
join_over = "5 s"
session = "60 s"
downtime = "20 s"
engine = {}
"""


def build_entry(number: int, step: int, ttl_ms: int, introducer: int, *, sells: bool) -> Entry:
    said = advertisement(START_MS + step, offers=(offer(),) if sells else (), ttl_ms=ttl_ms)
    return Entry(
        PEERS[number],
        said,
        f"{number}/{step}/{ttl_ms}/{sells}".encode(),
        UnixMs(START_MS + step),
        expires_at(said),
        PEERS[introducer],
        1000 + ttl_ms,
    )


@dataclass
class Pair:
    """A node's own holdings, and shared ones, to which the same happens."""

    own: Holdings
    shared: SharedHoldings

    def check(self, lower: bytes, upper: bytes) -> None:
        own, shared = self.own, self.shared
        assert list(shared) == list(own)
        assert (len(shared), shared.weight) == (len(own), own.weight)
        assert shared.index.keys(lower, upper) == own.index.keys(lower, upper)
        assert shared.index.describe(lower, upper) == own.index.describe(lower, upper)
        assert shared.index.describe() == own.index.describe()
        assert shared.expiries.next_at == own.expiries.next_at
        groups = [one.capabilities.get_group(None, "chat") or Group() for one in (own, shared)]
        assert groups[0].ring == groups[1].ring
        for peer in PEERS:
            key = peer[-32:]
            assert shared.get(peer) == own.get(peer)
            assert shared.index.get(key) == own.index.get(key)
            if own.get(peer) is not None:
                assert shared.get_row(peer) == own.get_row(peer)
                assert shared.index.sequence_of(key) == own.index.sequence_of(key)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "remove", "date", "expire"]),
        st.integers(0, len(PEERS) - 1),
        st.sampled_from(TTLS),
        st.booleans(),
    ),
    max_size=60,
)


@given(steps=STEPS, asks_first=st.booleans(), lower=BOUNDS, upper=BOUNDS)
def test_what_happens_to_both_is_seen_in_both(
    steps: list[tuple[str, int, int, bool]], asks_first: bool, lower: bytes, upper: bytes
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogues, "BLOCK_KEYS", 4)
        catalogue = Catalogue(Notary(StubScheme(1), Costs()), len(PEERS))
    pairs = [
        Pair(Holdings(PEERS[number]), SharedHoldings(catalogue, PEERS[number]))
        for number in range(2)
    ]
    if asks_first:
        pairs[0].check(lower, upper)
    for at, (what, number, ttl_ms, sells) in enumerate(steps):
        # Both nodes of the world get most of it, so that one holds what the other does not.
        for pair in pairs[: 1 + (number % 3 > 0)]:
            happen(pair, what, number, at * 700, ttl_ms, sells=sells)
    for pair in pairs:
        pair.check(lower, max(lower, upper))


def happen(pair: Pair, what: str, number: int, step: int, ttl_ms: int, *, sells: bool) -> None:
    peer = PEERS[number]
    if what == "expire":
        now = UnixMs(START_MS + step)
        assert pair.shared.take_expired(now) == pair.own.take_expired(now)
        return
    entry = build_entry(number, step, ttl_ms, (number + 1) % len(PEERS), sells=sells)
    is_held = pair.own.get(peer) is not None
    for one in (pair.own, pair.shared):
        if what == "put":
            one.put(entry)
        elif what == "remove" and is_held:
            one.remove(peer)
        elif is_held:
            one.date(peer, UnixMs(START_MS + step - 500))


def test_what_was_held_before_others_came_is_found_among_them() -> None:
    catalogue = Catalogue(Notary(StubScheme(1), Costs()), 1)
    early, late = (SharedHoldings(catalogue, PEERS[number]) for number in range(2))
    early.put(build_entry(0, 0, 10_000, 0, sells=True))
    for number in range(1, 9):
        late.put(build_entry(number, 0, 10_000, 1, sells=True))
    assert [entry.peer for entry in early] == [PEERS[0]]
    assert early.index.describe().count == 1
    assert early.get(PEERS[5]) is None
    assert early.index.get(PEERS[5][-32:]) is None


@pytest.mark.slow
def test_a_world_of_sharing_nodes_takes_the_course_of_one_of_real_ones() -> None:
    digests = {codec: play(CHURN, f"codec={codec}").digest for codec in ("bytes", "objects")}
    assert digests["bytes"] == digests["objects"]


def test_the_caches_of_a_catalogue_begin_anew_when_they_are_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(catalogues, "READINGS_MAX", 2)
    small = play(CHURN, "duration=60 s", "settle=30 s").digest
    monkeypatch.setattr(catalogues, "READINGS_MAX", 1000)
    assert play(CHURN, "duration=60 s", "settle=30 s").digest == small
