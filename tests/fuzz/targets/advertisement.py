"""Advertisements, sealed by keys the attacker has: kept only if signed, bounded, and consistent."""

from p2p_modelex import limits
from p2p_modelex.core.directory.directory import Directory
from p2p_modelex.ids import PublicKey, public_key_of
from p2p_modelex.records import codec, ownership
from p2p_modelex.records import envelope as envelopes
from p2p_modelex.records.advertisement import DOMAIN, Advertisement
from p2p_modelex.records.envelope import Envelope
from p2p_modelex.records.ownership import Ownership
from p2p_modelex.units import UnixMs
from tests.core.directory import worlds
from tests.core.exchange.pair import Account
from tests.fuzz import trees
from tests.fuzz.choices import Choices

_KEYS = [worlds.Key(number) for number in range(2, 6)]
_OPERATOR = Account("operator")
_ENTRIES_MAX = 3
_LIKE: tuple[object, ...] = (
    bytes(32),
    b"w" * 32,
    *(bytes(key.public_key) for key in _KEYS),
    worlds.NOW,
    worlds.NOW + limits.CLOCK_SKEW_MS,
    worlds.NOW - worlds.TTL,
    "/ip4/127.0.0.1/tcp/4001",
    "/ip6/::1/udp/65536",
    "/dns/" + "a" * 64 + "/tcp/1",
    "/memory/" + "9" * 21,
    "/ip4/1.2.3.4/p2p/x",
    "chat",
)


def _prove(key: worlds.Key) -> ownership.SignedOwnership:
    statement = Ownership(key.public_key, _OPERATOR.address, _OPERATOR.address, worlds.NOW * 2)
    return ownership.sign(statement, worlds.REGISTRY, _OPERATOR)


_PROOFS = {key.peer: _prove(key) for key in _KEYS}


def run(content: bytes) -> None:
    choices = Choices(content)
    directory = worlds.directory(entries_max=_ENTRIES_MAX)
    now = int(worlds.NOW)
    while choices:
        now += choices.pick((0, 1, 999, 1000, 60_000, worlds.TTL, -1000))
        sent = _draw_envelope(choices)
        verdict = directory.judge(sent, UnixMs(now))
        assert not verdict.accepted or verdict.peer is not None
        if choices.chance(16):
            directory.expire(UnixMs(now))
        check(directory)


def _draw_envelope(choices: Choices) -> bytes:
    key = choices.pick(_KEYS)
    match choices.below(5):
        case 0:
            return choices.some()
        case 1:
            payload = trees.pack(trees.draw(Advertisement, choices))
        case _:
            proofs = (_PROOFS[key.peer],) if choices.chance(96) else ()
            sequence = worlds.NOW + choices.pick((0, 1, 2, 1000, -1, 60_000, 60_001))
            plain = trees.to_plain(worlds.advertisement(sequence, accounts=proofs))
            for _ in range(choices.below(3)):
                plain = trees.bend(plain, choices, _LIKE)
            payload = trees.pack(plain)
    sealed = envelopes.seal(DOMAIN, worlds.NETWORK, payload, key)
    if choices.chance(24):
        return trees.pack(trees.bend(trees.to_plain(sealed), choices, _LIKE))
    return codec.encode(sealed)


def check(directory: Directory) -> None:
    """Every entry is signed by its peer and in the index, and there are no more than allowed."""
    assert len(directory) <= _ENTRIES_MAX
    entries = [entry for key in _KEYS if (entry := directory.get(key.peer)) is not None]
    assert len(entries) == len(directory), "an entry of nobody's"
    for entry in entries:
        opened: Envelope = envelopes.decode_envelope(
            entry.envelope, limit=limits.ADVERTISEMENT_BYTES
        )
        envelopes.verify(opened, DOMAIN, worlds.NETWORK)
        assert opened.peer == entry.peer
        key = PublicKey(public_key_of(entry.peer))
        assert directory.index.get(key) == entry.advertisement.sequence
    assert len(directory.index.keys(b"", b"")) == len(directory)
