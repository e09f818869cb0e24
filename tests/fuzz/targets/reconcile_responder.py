"""The answering end of a reconciliation against an initiator that says anything.

Each frame gets one answer within a frame's size, or the end; only verified records are kept; the
directory does not grow over its bound.
"""

from p2p_modelex import limits
from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as given
from p2p_modelex.core.directory.directory import Directory
from p2p_modelex.core.directory.responder import ReconcileResponder
from p2p_modelex.ids import NetworkId, PeerId, PublicKey, peer_id_of
from p2p_modelex.records import codec
from p2p_modelex.records import envelope as envelopes
from p2p_modelex.records.advertisement import DOMAIN
from p2p_modelex.records.reconciliation import InitiatorMessage, ResponderMessage
from p2p_modelex.records.rows import RecordRow
from p2p_modelex.units import UnixMs
from tests.core.directory import worlds
from tests.fuzz import trees
from tests.fuzz.choices import Choices

STREAM = fx.StreamId(3)
ENTRIES_MAX = 60
KEYS = [worlds.Key(number) for number in range(2, 50)]
ENVELOPES = [worlds.sealed(key) for key in KEYS]
NEWER = [worlds.sealed(key, worlds.advertisement(worlds.NOW + 5)) for key in KEYS[:8]]
FORGED = [worlds.sealed(key, network=NetworkId(b"x" * 32)) for key in KEYS[:4]]
_PUBLIC = [bytes(key.public_key) for key in KEYS[:12]]
LIKE: list[bytes] = [*_PUBLIC, b"", b"\0", b"\xff" * 32, *(key[:1] for key in _PUBLIC)]
RECORDS = [*ENVELOPES[:12], *NEWER, *FORGED]


def fill(choices: Choices) -> Directory:
    """A directory with none, some or all of the records."""
    directory = worlds.directory(entries_max=ENTRIES_MAX)
    # Most often few: each record kept costs a signature.
    count = choices.pick((0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 17, 20, len(ENVELOPES)))
    for envelope in ENVELOPES[:count]:
        assert directory.judge(envelope, worlds.NOW).accepted
    return directory


def check(directory: Directory, effects: tuple[fx.Effect, ...]) -> None:
    """Whatever is kept is signed by its peer for this network; frames are within their limit."""
    assert len(directory) <= ENTRIES_MAX
    for effect in effects:
        match effect:
            case fx.Send(payload=payload):
                assert len(payload) <= limits.RECONCILE_FRAME_BYTES
            case fx.Persist(rows):
                for row in rows:
                    assert isinstance(row, RecordRow)
                    verify(row.envelope, row.peer)


def verify(envelope: bytes, peer: PeerId) -> None:
    opened = envelopes.decode_envelope(envelope, limit=limits.ADVERTISEMENT_BYTES)
    envelopes.verify(opened, DOMAIN, worlds.NETWORK)
    assert opened.peer == peer_id_of(PublicKey(opened.signer)) == peer


def run(content: bytes) -> None:
    choices = Choices(content)
    directory = fill(choices)
    responder = ReconcileResponder(directory, STREAM, KEYS[0].peer, worlds.no_limit)
    now = int(worlds.NOW)
    while choices and not responder.done:
        now += choices.pick((0, 0, 1, 2_000, worlds.TTL))
        payload = _draw(choices)
        effects = responder.step(given.FrameReceived(STREAM, payload), UnixMs(now))
        sent = [one for one in effects if isinstance(one, fx.Send)]
        assert len(sent) == (not responder.done), "one answer to one question"
        for one in sent:
            codec.decode(ResponderMessage, one.payload, limit=limits.RECONCILE_FRAME_BYTES)
        check(directory, effects)


def _draw(choices: Choices) -> bytes:
    if choices.chance(32):
        return choices.some()
    plain = trees.draw(InitiatorMessage, choices, [*LIKE, *RECORDS])
    if choices.chance(32):
        plain = trees.bend(plain, choices, [*LIKE, *RECORDS])
    return trees.pack(plain)
