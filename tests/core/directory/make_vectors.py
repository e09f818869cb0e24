"""Writes protocols/directory/vectors: `python -m tests.core.directory.make_vectors`.

Format verdict/1: see protocols/README.md. A step may name `expected`, the peer asked for.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import msgspec

from p2p_modelex import limits
from p2p_modelex.ids import NetworkId
from p2p_modelex.records import codec
from p2p_modelex.records.advertisement import (
    Advertisement,
    Announcement,
    Announcements,
    Change,
)
from p2p_modelex.records.envelope import Envelope, seal
from tests.core.directory.account import proof
from tests.core.directory.worlds import (
    NETWORK,
    NOW,
    REGISTRY,
    TTL,
    Key,
    advertisement,
    offer,
    sealed,
)
from tests.core.farm.farms import FARM, OTHER_FARM, Farm

VECTORS = Path(__file__).parents[3] / "protocols" / "directory" / "vectors"
SIGNER, OTHER = Key(11), Key(12)
SKEW = limits.CLOCK_SKEW_MS
Step = dict[str, Any]


def text(value: bytes) -> str:
    return "0x" + value.hex()


def step(message: bytes, rule: str = "", verdict: str = "reject", offset: int = 0) -> Step:
    verdict = verdict if rule else "accept"
    return {"message": text(message), "offset_ms": offset, "rule": rule, "verdict": verdict}


def _one(content: Advertisement, rule: str = "", verdict: str = "reject") -> list[Step]:
    return [step(sealed(SIGNER, content), rule, verdict)]


def _garbled(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def _good() -> dict[str, list[Step]]:
    owned = advertisement(
        offers=(offer("a", kinds=("chat", "score"), features=("grammar", "logprobs")), offer("b")),
        addresses=("/ip6/::1/tcp/1/ws", "/dns4/example.org/tcp/443/wss", "/memory/3"),
        accounts=(proof(SIGNER, NOW + TTL),),
    )
    first = sealed(SIGNER, advertisement())
    leave = sealed(SIGNER, advertisement(NOW + 1, addresses=()))
    late = step(first, "ADV-7", "ignore", 2_000)
    return {
        "plain": _one(advertisement()),
        "owned, two offers": _one(owned),
        "of two farms": _one(advertisement(farms=(_admit(), _admit(OTHER_FARM)))),
        "of a farm, at the edges": _one(
            advertisement(farms=(_admit(not_before=NOW, not_after=NOW + TTL - 1),))
        ),
        "no offers": _one(advertisement(offers=()), ""),
        "at the edge of the skew": _one(advertisement(NOW + SKEW)),
        "the last moment": [step(first, offset=TTL - 1)],
        "replaced": [
            step(first),
            step(sealed(SIGNER, advertisement(NOW + 1000)), offset=1000),
        ],
        "withdrawn at once, then replayed": [step(first), step(leave), late],
        "withdrawn and back": [
            step(leave),
            step(sealed(SIGNER, advertisement(NOW + 1500)), offset=1500),
        ],
    }


def _with_address(address: str) -> list[Step]:
    return _one(advertisement(addresses=(address,)), "ADV-9")


def _with_offer(**changes: Any) -> list[Step]:
    changed = msgspec.structs.replace(offer(), **changes)
    return _one(advertisement(offers=(changed,)), "ADV-10")


def _admit(farm: Farm = FARM, **changes: Any) -> Envelope:
    return farm.admit(SIGNER.public_key, **changes)


def _bad_farms() -> dict[str, list[Step]]:
    bad = {
        "twice": (_admit(), _admit(serial=2, index=2)),
        "not a certificate": (seal("farm_certificate", NETWORK, b"\x90", FARM),),
        "of another peer": (FARM.admit(OTHER.public_key),),
        "ends too soon": (_admit(not_after=NOW + TTL - 2),),
        "not yet valid": (_admit(not_before=NOW + 1),),
        "forged": (msgspec.structs.replace(_admit(), signer=OTHER_FARM.public_key),),
    }
    too_many = tuple(_admit(Farm(60 + at, "f")) for at in range(limits.FARMS_MAX + 1))
    return {
        "farm: too many": _one(advertisement(farms=too_many), "ADV-4"),
        **{
            f"farm: {name}": _one(advertisement(farms=farms), "ADV-17")
            for name, farms in bad.items()
        },
    }


def _bad_content() -> dict[str, list[Step]]:
    content = advertisement()
    twice = (proof(SIGNER, NOW + TTL), proof(SIGNER, NOW + TTL + 1))
    forged = msgspec.structs.replace(proof(SIGNER, NOW + TTL), signature=bytes(64) + b"\x1b")
    unreachable = msgspec.structs.replace(content, addresses=())
    return {
        "address: relative": _with_address("ip4/127.0.0.1/tcp/1"),
        "address: empty": _one(advertisement(addresses=("",)), "ADV-4"),
        "address: begins with tcp": _with_address("/tcp/1"),
        "address: bad ip4": _with_address("/ip4/127.0.0.256/tcp/1"),
        "address: bad ip6": _with_address("/ip6/::g/tcp/1"),
        "address: ip6 with a zone": _with_address("/ip6/fe80::1%eth0/tcp/1"),
        "address: bad port": _with_address("/ip4/127.0.0.1/tcp/65536"),
        "address: port with a zero": _with_address("/ip4/127.0.0.1/tcp/080"),
        "address: no value": _with_address("/ip4/127.0.0.1/tcp"),
        "address: bad name": _with_address("/dns4/-a/tcp/1"),
        "address: bad number": _with_address("/memory/x"),
        "address: bad text": _with_address("/ip4/1.2.3.4/udp/1/certhash/!"),
        "address: unknown component": _with_address("/ip4/127.0.0.1/carrier-pigeon"),
        "address: trailing slash": _with_address("/ip4/127.0.0.1/tcp/1/"),
        "address: ends in p2p": _with_address("/ip4/127.0.0.1/tcp/1/p2p/12D3KooW"),
        "offers: model twice": _one(advertisement(offers=(offer(), offer())), "ADV-10"),
        "offers: unreachable": _one(unreachable, "ADV-10"),
        "offers: unsorted features": _with_offer(features=("b", "a")),
        "offers: feature twice": _with_offer(features=("a", "a")),
        "offers: kind twice": _with_offer(kinds=("chat", "chat")),
        "offers: no tokens": _with_offer(max_tokens=0),
        "offers: over the context": _with_offer(max_tokens=4096),
        "proof: of another peer": _one(
            advertisement(accounts=(proof(OTHER, NOW + TTL),)), "ADV-11"
        ),
        "proof: ends too soon": _one(
            advertisement(accounts=(proof(SIGNER, NOW + TTL - 2),)), "ADV-11"
        ),
        "proof: forged": _one(advertisement(accounts=(forged,)), "ADV-11"),
        "proof: operator twice": _one(advertisement(accounts=twice), "ADV-11"),
    }


def _bad() -> dict[str, list[Step]]:
    first = sealed(SIGNER, advertisement())
    payload = codec.encode(advertisement())
    swapped = codec.encode(Envelope(OTHER.public_key, payload, bytes(64)))
    nonsense = codec.encode(seal("advertisement", NETWORK, b"\x90", SIGNER))
    quote = codec.encode(seal("quote", NETWORK, payload, SIGNER))
    other_network = sealed(SIGNER, advertisement(), NetworkId(b"o" * 32))
    changed = advertisement(offers=(offer("x"),))
    return {
        "too long": [step(bytes(limits.ADVERTISEMENT_BYTES + 1), "ADV-1")],
        "empty": [step(b"", "ADV-2")],
        "not an envelope": [step(b"\x93\x01\x02\x03", "ADV-2")],
        "trailing byte": [step(first + b"\0", "ADV-2")],
        "another peer": [step(first, "ADV-3") | {"expected": text(OTHER.peer)}],
        "not an advertisement": [step(nonsense, "ADV-4")],
        "ttl too short": _one(advertisement(ttl_ms=limits.TTL_MIN_MS - 1), "ADV-4"),
        "from the future": _one(advertisement(NOW + SKEW + 1), "ADV-5", "ignore"),
        "expired": _one(advertisement(NOW - TTL), "ADV-6", "ignore"),
        "replayed": [step(first), step(first, "ADV-7", "ignore", 5_000)],
        "older": [
            step(first),
            step(sealed(SIGNER, advertisement(NOW - 1)), "ADV-7", "ignore", 5_000),
        ],
        "too often": [
            step(first),
            step(sealed(SIGNER, advertisement(NOW + 999)), "ADV-8", "ignore", 999),
            step(sealed(SIGNER, advertisement(NOW + 999)), offset=1_000),
        ],
        "tampered": [step(_garbled(first), "ADV-12")],
        "signer swapped": [step(swapped, "ADV-12")],
        "another network": [step(other_network, "ADV-12")],
        "another domain": [step(quote, "ADV-12")],
        "equivocation": [step(first), step(sealed(SIGNER, changed), "ADV-13", offset=5_000)],
        "equivocation made up": [
            step(first),
            step(_garbled(sealed(SIGNER, changed)), "ADV-12", offset=5_000),
        ],
    }


def announcements(*items: tuple[Key, int]) -> bytes:
    listed = tuple(Announcement(key.public_key, at, Change.NEW) for key, at in items)
    return codec.encode(Announcements(listed))


def _announced() -> dict[str, list[Step]]:
    good = announcements((SIGNER, NOW), (OTHER, NOW + SKEW))
    flood = [step(good) for _ in range(limits.GOSSIP_ORIGIN_BURST)]
    return {
        "good": [step(good)],
        "too long": [step(bytes(limits.GOSSIP_MESSAGE_BYTES + 1), "ANN-1")],
        "empty": [step(codec.encode(Announcements(())), "ANN-2")],
        "nonsense": [step(b"\xc1", "ANN-2")],
        "peer twice": [step(announcements((SIGNER, NOW), (SIGNER, NOW)), "ANN-3")],
        "flood": [*flood, step(good, "ANN-4", "ignore"), step(good, offset=1_000)],
        "future": [step(announcements((SIGNER, NOW + SKEW + 1)), "ANN-5", "ignore")],
    }


def build(cases: dict[str, list[Step]]) -> dict[str, Any]:
    rules = {one["rule"] for steps in cases.values() for one in steps} - {""}
    return {
        "format": "verdict/1",
        "rules": sorted(rules, key=lambda rule: (rule[:3], int(rule[4:]))),
        "network": text(NETWORK),
        "now": str(NOW),
        "origin": text(SIGNER.peer),
        "registryDomain": text(REGISTRY),
        "cases": [{"name": name, "steps": steps} for name, steps in cases.items()],
    }


def fingerprint_case(
    name: str, pairs: list[tuple[bytes, int]], lower: bytes = b"", upper: bytes = b""
) -> dict[str, Any]:
    """Compute as the page says, with nothing of ours."""
    prefix = b"modelex/reconcile/1" + bytes(1)
    inside = [pair for pair in pairs if lower <= pair[0] and (not upper or pair[0] < upper)]
    total = 0
    for key, sequence in inside:
        element = hashlib.shake_256(prefix + key + sequence.to_bytes(8, "big")).digest(256)
        total = (total + int.from_bytes(element, "big")) % 2**2048
    count = len(inside)
    summed = prefix + total.to_bytes(256, "big") + count.to_bytes(8, "big")
    return {
        "count": count,
        "fingerprint": text(hashlib.sha256(summed).digest()[:16]),
        "lower": text(lower),
        "name": name,
        "pairs": [{"peer": text(key), "sequence": str(at)} for key, at in pairs],
        "upper": text(upper),
    }


def build_fingerprints() -> dict[str, Any]:
    pairs = [(bytes([at * 16]) * 32, NOW + at) for at in range(16)]
    cases = [
        fingerprint_case("empty", []),
        fingerprint_case("one", pairs[:1]),
        fingerprint_case("all", pairs),
        fingerprint_case("lower end in, upper end out", pairs, pairs[3][0], pairs[7][0]),
        fingerprint_case("short bounds", pairs, b"\x30", b"\x71"),
        fingerprint_case("to the end", pairs, b"\xa0"),
    ]
    return {"format": "fingerprint/1", "rules": ["REC-11"], "cases": cases}


def build_pulls() -> dict[str, Any]:
    """What a responder that holds `held` answers: packed with nothing of ours but the envelopes."""
    keys = sorted((Key(number) for number in range(1, 68)), key=lambda key: key.public_key)
    short = advertisement(NOW, ttl_ms=limits.TTL_MIN_MS)
    held = [sealed(key, short if at == 1 else None) for at, key in enumerate(keys)]
    first, second, third = (key.public_key for key in keys[:3])

    def case(
        name: str, ranges: list[list[bytes]], found: list[bytes], rest: bytes = b"", offset: int = 0
    ) -> dict[str, Any]:
        question, answer = msgpack.packb([4, ranges]), msgpack.packb([19, found, rest])
        return {
            "answer": text(bytes(answer)),
            "name": name,
            "offset_ms": offset,
            "question": text(bytes(question)),
        }

    everything = [[b"", b""]]
    cases = [
        case("everything", everything, held[:64], keys[64].public_key),
        case("the rest of it", [[keys[64].public_key, b""]], held[64:]),
        case(
            "an expired one is left out",
            everything,
            [held[0], *held[2:65]],
            keys[65].public_key,
            limits.TTL_MIN_MS,
        ),
        case("nothing", [[b"", first]], []),
        case("two ranges", [[b"", second], [third, keys[4].public_key]], [held[0], *held[2:4]]),
    ]
    return {
        "format": "pull/1",
        "rules": ["REC-12"],
        "network": text(NETWORK),
        "now": str(NOW),
        "held": [text(one) for one in held],
        "cases": cases,
    }


BUILDERS: dict[str, Callable[[], dict[str, Any]]] = {
    "reconciliation": build_fingerprints,
    "pull": build_pulls,
    "advertisement": lambda: build(_good() | _bad_content() | _bad_farms() | _bad()),
    "announcements": lambda: build(_announced()),
}


def render(name: str) -> str:
    return json.dumps(BUILDERS[name](), indent=2, ensure_ascii=True) + "\n"


def main() -> None:
    for name in BUILDERS:
        (VECTORS / f"{name}.json").write_text(render(name), encoding="ascii")


if __name__ == "__main__":
    main()
