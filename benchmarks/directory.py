"""Reconciling a directory, against its own bytes and against bare signature verification."""

import statistics
from dataclasses import dataclass

from nacl.bindings import crypto_sign_open

from benchmarks.measuring import Result, Stopwatch, begin, measure_once, report
from benchmarks.sampling import sampling
from p2p_modelex.core.inputs import PeerConnected
from p2p_modelex.limits import KIB
from p2p_modelex.records import envelope
from p2p_modelex.records.advertisement import DOMAIN
from p2p_modelex.units import UnixMs
from tests.core.directory.worlds import (
    NETWORK,
    NOW,
    Key,
    Node,
    World,
    advertisement,
    offer,
    sealed,
)

RECORDS = 10_000
TURNS = 5
CHANGED = 10
LATER = UnixMs(NOW + 5_000)


@dataclass(frozen=True, slots=True)
class Synced:
    """What one reconciliation cost, both ends together. verifying: share of the CPU time."""

    cpu_s: float
    sent_bytes: int
    frames: int
    verifying: float


def main() -> None:
    """Reconcile two machines joined by a list of frames, so that no network is in the figures."""
    begin()
    content = advertisement(offers=(offer("smollm2-135m-instruct", features=("grammar",)),))
    keys = [Key(1000 + number) for number in range(RECORDS)]
    envelopes = [sealed(key, content) for key in keys]
    old = Node(1)
    for one in envelopes:
        assert old.directory.judge(one, NOW).accepted
    # In turns, so that both see the same machine; each newcomer is another peer.
    turns = []
    for number in range(TURNS):
        new = Node(2 + number)
        world = World(old, new)
        turns.append((_sync(world, old, new), _measure_verifying(envelopes)))
    _report_newcomer(turns, envelopes)

    world.now = LATER
    later = advertisement(LATER, offers=content.offers)
    for key in keys[:: RECORDS // CHANGED]:
        assert old.directory.judge(sealed(key, later), LATER).accepted
    _report_changed(_sync(world, old, new), f"{CHANGED} changed among {RECORDS:,}", 32 * KIB)
    _report_changed(_sync(world, old, new), f"nothing changed among {RECORDS:,}", None)


def _sync(world: World, old: Node, new: Node) -> Synced:
    sent, frames = old.sent_bytes + new.sent_bytes, world.frames
    with sampling() as samples:
        stopwatch = Stopwatch()
        world.tell(new, PeerConnected(old.peer))
        spent = stopwatch.read()
    assert len(new.directory) == len(old.directory)
    assert new.directory.index.describe() == old.directory.index.describe()
    verifying = samples.leaves[crypto_sign_open.__name__] / max(samples.total, 1)
    moved = old.sent_bytes + new.sent_bytes - sent
    return Synced(spent.cpu_s, moved, world.frames - frames, verifying)


def _report_newcomer(turns: list[tuple[Synced, float]], envelopes: list[bytes]) -> None:
    work = f"newcomer reconciles {RECORDS:,} advertisements"
    synced = turns[0][0]
    cpu_s = statistics.median(one.cpu_s for one, _ in turns)
    verifying_s = statistics.median(seconds for _, seconds in turns)
    verifying = statistics.median(one.verifying for one, _ in turns)
    report(
        Result(
            f"{work}, both ends",
            cpu_s,
            "s CPU",
            "raw Ed25519 verify of each",
            verifying_s,
            cpu_s / verifying_s,
            "<= 3 s, mostly verification",
            cpu_s <= 3 and verifying > 0.5,
            note=f"{synced.frames} frames; {verifying:.0%} of it verifies",
        )
    )
    own = sum(map(len, envelopes))
    ratio = synced.sent_bytes / own
    report(
        Result(
            work, synced.sent_bytes, "bytes", "the set's own", own, ratio, "<= 1.2x", ratio <= 1.2
        )
    )


def _report_changed(synced: Synced, work: str, most: int | None) -> None:
    report(
        Result(
            work,
            synced.sent_bytes,
            "bytes",
            target=f"<= {most}" if most else "",
            is_met=synced.sent_bytes <= most if most else None,
            note=f"{synced.cpu_s * 1000:.0f} ms CPU, {synced.frames} frames",
        )
    )


def _measure_verifying(envelopes: list[bytes]) -> float:
    opened = [envelope.decode_envelope(one, limit=len(one)) for one in envelopes]
    signed = [
        (one.signature + envelope.signing_input(DOMAIN, NETWORK, one.payload), one.signer)
        for one in opened
    ]

    def verify() -> None:
        for message, signer in signed:
            crypto_sign_open(message, signer)

    return measure_once(verify).cpu_s


if __name__ == "__main__":
    main()
