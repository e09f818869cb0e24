"""Builds protocols/anchoring/vectors: `python -m tests.core.anchoring.make_vectors` writes them."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgpack

from p2p_modelex.ids import Digest
from p2p_modelex.records import codec
from p2p_modelex.records.advertisement import Advertisement
from p2p_modelex.records.registry import (
    Deregistered,
    HandedOver,
    Registered,
    RegistryChange,
    RegistryEntry,
    RegistryEvent,
    SectionChanged,
    Updated,
)
from p2p_modelex.units import Wei
from tests.core.anchoring.cases import (
    AD,
    ANCHOR,
    LISTED,
    OPERATOR,
    OTHER,
    PEER,
    PUBLIC,
    SECOND,
    STRANGER,
    SUSPENDED,
    change,
    entry,
    event,
    renewed,
    said,
)
from tests.core.directory.worlds import NOW, offer

FOLDER = Path(__file__).parents[3] / "protocols" / "anchoring" / "vectors"
ADDRESSES = ("/ip4/192.0.2.1/tcp/1", "/ip4/127.0.0.1/tcp/4001")
OLD, NEW = Digest(b"\1" * 32), Digest(b"\2" * 32)


def text(value: bytes) -> str:
    return "0x" + value.hex()


def digest_substance(told: Advertisement) -> bytes:
    """ANC-1 by what travels, and with none of the code that the node uses."""
    _, _, _, addresses, offers, accounts, _, farms, evidence = msgpack.unpackb(codec.encode(told))
    owners = [statement[1:3] for statement, _ in accounts]
    packed = msgpack.packb([sorted(addresses), offers, owners, farms, evidence])
    return hashlib.sha256(b"modelex/anchor/1\0" + packed).digest()


def build_anchors() -> object:
    """What changes the digest and what does not."""
    dearer = change(AD, offers=(offer(completion_price=Wei(3)),))
    several = change(AD, addresses=ADDRESSES)
    told: dict[str, Advertisement] = {
        "plain": AD,
        "signed anew": renewed(AD),
        "another price": dearer,
        "two addresses": several,
        "the same addresses in another order": change(several, addresses=ADDRESSES[::-1]),
        "another account": said(32),
        "two accounts": said(31, 32),
        "no accounts": change(AD, accounts=()),
        "a farm": change(AD, farms=(b"f" * 32,)),
        "evidence": change(AD, evidence=b"e" * 32),
        "two offers": change(AD, offers=(offer("b"), offer("a", features=("grammar",)))),
    }
    cases = [
        {
            "advertisement": text(codec.encode(one)),
            "anchor": text(digest_substance(one)),
            "name": name,
        }
        for name, one in told.items()
    ]
    return {"format": "anchor/1", "rules": ["ANC-1"], "cases": cases}


def build_marks() -> object:
    """Marks by what was read and what was heard after it."""
    made = Registered(PEER, OPERATOR, ANCHOR, NOW)
    admitted = SectionChanged(PEER, OPERATOR, LISTED)
    suspended = SectionChanged(PEER, OPERATOR, SUSPENDED)
    left = Deregistered(PEER, OPERATOR)
    handed = HandedOver(PEER, OPERATOR, SECOND)
    newer = Updated(PEER, OPERATOR, NEW, NOW + 1)
    held, listed = entry(), entry(section=LISTED)
    first, second = event(made, 1), event(admitted, 2)
    undo = [event(admitted, 2, undone=True), event(made, 1, undone=True)]
    cases = [
        mark("nobody", "unregistered", "none"),
        mark("registered", "registered", "current", entries=[held]),
        mark("signed anew", "registered", "current", entries=[held], told=renewed(AD)),
        mark("an older anchor", "registered", "older", entries=[entry(digest=OLD, sequence=1)]),
        mark("another digest of one sequence", "registered", "older", entries=[entry(digest=OLD)]),
        mark(
            "a newer anchor", "registered", "newer", entries=[entry(digest=NEW, sequence=NOW + 1)]
        ),
        mark("whitelisted", "whitelisted", "current", entries=[listed]),
        mark("suspended", "suspended", "current", entries=[entry(section=SUSPENDED)]),
        mark("a stranger's entry", "unregistered", "none", entries=[entry(STRANGER, LISTED)]),
        mark("another peer's", "unregistered", "none", entries=[entry(peer=OTHER.public_key)]),
        mark("no proof", "unregistered", "none", entries=[held], told=change(AD, accounts=())),
        mark(
            "a suspension is not hidden by another account",
            "suspended",
            "older",
            operator=SECOND,
            entries=[entry(digest=OLD), entry(SECOND, SUSPENDED, OLD)],
            told=said(31, 32),
        ),
        mark(
            "the better account counts",
            "whitelisted",
            "older",
            operator=SECOND,
            entries=[entry(digest=OLD), entry(SECOND, LISTED, OLD)],
            told=said(31, 32),
        ),
        mark(
            "the worse account does not count",
            "whitelisted",
            "older",
            entries=[entry(section=LISTED, digest=OLD), entry(SECOND)],
            told=said(31, 32),
        ),
        mark("made", "registered", "current", events=[first]),
        mark("made and admitted", "whitelisted", "current", events=[first, second]),
        mark("admission undone", "registered", "current", events=[first, second, undo[0]]),
        mark("all undone", "unregistered", "none", events=[first, second, *undo]),
        mark(
            "updated in its section",
            "whitelisted",
            "newer",
            entries=[listed],
            events=[event(newer)],
        ),
        mark(
            "an update undone",
            "whitelisted",
            "current",
            entries=[listed],
            events=[event(newer), event(newer, undone=True)],
        ),
        mark("left", "unregistered", "none", entries=[listed], events=[event(left)]),
        mark(
            "leaving undone",
            "whitelisted",
            "current",
            entries=[listed],
            events=[event(left), event(left, undone=True)],
        ),
        mark("handed over", "unregistered", "none", entries=[listed], events=[event(handed)]),
        mark(
            "handed over to an account that is proved",
            "registered",
            "older",
            operator=SECOND,
            entries=[listed],
            events=[event(handed)],
            told=said(32),
        ),
        mark(
            "handing over undone",
            "whitelisted",
            "current",
            entries=[listed],
            events=[event(handed), event(handed, undone=True)],
        ),
        mark(
            "suspended, lifted, suspended",
            "suspended",
            "current",
            entries=[listed],
            events=[event(suspended, 1), event(admitted, 2), event(suspended, 3)],
        ),
        mark(
            "removed from the list",
            "registered",
            "current",
            entries=[entry(section=SUSPENDED)],
            events=[event(SectionChanged(PEER, OPERATOR, PUBLIC))],
        ),
        mark("an update of what was not known", "registered", "newer", events=[event(newer)]),
    ]
    rules = ["ANC-5", "ANC-6", "ANC-7", "ANC-8"]
    return {"format": "marks/1", "rules": rules, "peer": text(PEER), "cases": cases}


def mark(
    name: str,
    standing: str,
    anchor: str,
    *,
    entries: Sequence[RegistryEntry] = (),
    events: Sequence[RegistryEvent] = (),
    told: Advertisement = AD,
    operator: bytes = OPERATOR,
) -> dict[str, Any]:
    return {
        "advertisement": text(codec.encode(told)),
        "anchor": anchor,
        "entries": [show_entry(one) for one in entries],
        "events": [show_event(one) for one in events],
        "name": name,
        "operator": "" if anchor == "none" else text(operator),
        "standing": standing,
    }


def show_entry(one: RegistryEntry) -> dict[str, Any]:
    return {
        "digest": text(one.digest),
        "operator": text(one.operator),
        "peer": text(one.peer),
        "section": int(one.section),
        "sequence": str(one.sequence),
    }


def fields_of(kind: type[RegistryChange]) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


def show_event(one: RegistryEvent) -> dict[str, Any]:
    fields = {name: getattr(one.change, name) for name in fields_of(type(one.change))}
    shown = {
        name: text(value) if isinstance(value, bytes) else value for name, value in fields.items()
    }
    if "sequence" in shown:
        shown["sequence"] = str(shown["sequence"])
    if "section" in shown:
        shown["section"] = int(shown["section"])
    shown |= {"block": one.block, "kind": type(one.change).__name__, "undone": one.undone}
    return dict(sorted(shown.items()))


FILES = {"anchors.json": build_anchors, "marks.json": build_marks}


def render(name: str) -> str:
    return json.dumps(FILES[name](), indent=2) + "\n"


if __name__ == "__main__":
    for name in FILES:
        (FOLDER / name).write_text(render(name), encoding="ascii")
