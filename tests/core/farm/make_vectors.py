"""Writes protocols/farm/vectors: `python -m tests.core.farm.make_vectors`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from p2p_modelex.ids import NetworkId
from p2p_modelex.records import codec
from p2p_modelex.records.envelope import Envelope, seal
from tests.core.directory.worlds import NETWORK, NOW, REGISTRY, Key
from tests.core.farm.farms import DAY, FARM, OTHER_FARM, PAYEE

VECTORS = Path(__file__).parents[3] / "protocols" / "farm" / "vectors"
MEMBER, OTHER = Key(51), Key(52)
Case = dict[str, Any]


def text(value: bytes) -> str:
    return "0x" + value.hex()


def case(
    name: str, envelope: Envelope, rule: str = "", *, since: int = NOW, until: int = NOW
) -> Case:
    return {
        "certificate": text(codec.encode(envelope)),
        "member": text(MEMBER.public_key),
        "name": name,
        "rule": rule,
        "since": str(since),
        "until": str(until),
    }


def _malformed(name: str, position: int, value: object) -> Case:
    """A certificate whose field at a position is out of its bounds."""
    fields = list(msgspec.structs.astuple(FARM.certificate(MEMBER.public_key)))
    fields[position] = value
    payload = codec.encode(tuple(fields))
    return case(name, seal("farm_certificate", NETWORK, payload, FARM), "FRM-1")


def build_certificates() -> dict[str, Any]:
    """Whose word counts, for whom, and when."""
    key = MEMBER.public_key
    good = FARM.admit(key)
    forged = msgspec.structs.replace(good, signer=OTHER_FARM.public_key)
    altered = FARM.admit(key, weight=10_000)
    cases = [
        case("good", good),
        case("the first moment", FARM.admit(key, not_before=NOW)),
        case("the last moment", FARM.admit(key, not_after=NOW + DAY), until=NOW + DAY),
        case("the longest name", FARM.admit(key, name="a" + "-" * 30 + "z")),
        _malformed("name: capitals", 0, "Harvest"),
        _malformed("name: empty", 0, ""),
        _malformed("name: begins with a hyphen", 0, "-harvest"),
        _malformed("name: 33 characters", 0, "h" * 33),
        _malformed("index 0", 3, 0),
        _malformed("weight 0", 4, 0),
        _malformed("weight over the whole", 4, 10_001),
        case("for another peer", FARM.admit(OTHER.public_key), "FRM-2"),
        case("not yet valid", FARM.admit(key, not_before=NOW + 1), "FRM-3"),
        case("expired", FARM.admit(key, not_after=NOW - 1), "FRM-3"),
        case("ends in between", FARM.admit(key, not_after=NOW + 4), "FRM-3", until=NOW + 5),
        case("signed by another farm", forged, "FRM-4"),
        case("altered", msgspec.structs.replace(altered, signature=good.signature), "FRM-4"),
        case("of another network", FARM.admit(key, NetworkId(b"o" * 32)), "FRM-4"),
        case("another statement", seal("farm", NETWORK, good.payload, FARM), "FRM-4"),
    ]
    return {
        "format": "certificate/1",
        "rules": ["FRM-1", "FRM-2", "FRM-3", "FRM-4"],
        "network": text(NETWORK),
        "cases": cases,
    }


def step(message: bytes, rule: str = "", verdict: str = "reject", offset: int = 0) -> Case:
    verdict = verdict if rule else "accept"
    return {"message": text(message), "offset_ms": offset, "rule": rule, "verdict": verdict}


def _seal_record(*fields: object) -> bytes:
    return codec.encode(seal("farm", NETWORK, codec.encode(fields), FARM))


def build_records() -> dict[str, Any]:
    """Which records are good, and which are news."""
    good = FARM.record()
    garbled = good[:-1] + bytes([good[-1] ^ 1])
    certificate = codec.encode(FARM.admit(MEMBER.public_key))
    cases = {
        "good": [step(good)],
        "as many revoked as there can be": [step(FARM.record(revoked=tuple(range(512))))],
        "the last moment": [step(good, offset=7 * DAY - 1)],
        "at the edge of the skew": [step(FARM.record(NOW + 60_000))],
        "replaced": [
            step(good),
            step(FARM.record(NOW + 1, revoked=(1,)), offset=20_000),
            step(good, "FRM-10", "ignore", 40_000),
        ],
        "asked for": [step(good) | {"expected": text(FARM.peer)}],
        "nonsense": [step(b"\xc1", "FRM-5")],
        "a certificate": [step(certificate, "FRM-5")],
        "too long": [step(bytes(4097), "FRM-5")],
        "513 revoked": [
            step(_seal_record("harvest", NOW, 7 * DAY, PAYEE, list(range(513))), "FRM-5")
        ],
        "a ttl over a month": [step(_seal_record("harvest", NOW, 31 * DAY, PAYEE, []), "FRM-5")],
        "another farm than was asked for": [step(good, "FRM-6") | {"expected": text(MEMBER.peer)}],
        "revoked: not in order": [step(FARM.record(revoked=(5, 2)), "FRM-7")],
        "revoked: one twice": [step(FARM.record(revoked=(2, 2)), "FRM-7")],
        "from the future": [step(FARM.record(NOW + 60_001), "FRM-8", "ignore")],
        "expired": [step(good, "FRM-9", "ignore", 7 * DAY)],
        "the same again": [step(good), step(good, "FRM-10", "ignore", 20_000)],
        "another of the same moment": [
            step(good),
            step(FARM.record(revoked=(1,)), "FRM-10", "ignore", 20_000),
        ],
        "tampered": [step(garbled, "FRM-12")],
        "of another network": [step(FARM.record(network=NetworkId(b"o" * 32)), "FRM-12")],
        "another statement": [
            step(
                codec.encode(
                    seal(
                        "farm_certificate",
                        NETWORK,
                        codec.encode(("harvest", NOW, 7 * DAY, PAYEE, [])),
                        FARM,
                    )
                ),
                "FRM-12",
            )
        ],
    }
    return {
        "format": "verdict/1",
        "rules": ["FRM-5", "FRM-6", "FRM-7", "FRM-8", "FRM-9", "FRM-10", "FRM-12"],
        "network": text(NETWORK),
        "now": str(NOW),
        "registryDomain": text(REGISTRY),
        "cases": [{"name": name, "steps": steps} for name, steps in cases.items()],
    }


BUILDERS: dict[str, Callable[[], dict[str, Any]]] = {
    "certificate": build_certificates,
    "record": build_records,
}


def render(name: str) -> str:
    """Return the text of a file."""
    return json.dumps(BUILDERS[name](), indent=2, ensure_ascii=True) + "\n"


def main() -> None:
    """Write every file."""
    for name in BUILDERS:
        (VECTORS / f"{name}.json").write_text(render(name), encoding="ascii")


if __name__ == "__main__":
    main()
