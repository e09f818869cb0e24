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
    KEY,
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
from tests.core.farm.farms import FARM

FOLDER = Path(__file__).parents[3] / "protocols" / "anchoring" / "vectors"
ADDRESSES = ("/ip4/192.0.2.1/tcp/1", "/ip4/127.0.0.1/tcp/4001")
Case = dict[str, Any]
OLD, NEW = Digest(b"\1" * 32), Digest(b"\2" * 32)


def text(value: bytes) -> str:
    return "0x" + value.hex()


def digest_substance(told: Advertisement) -> bytes:
    """ANC-1 by what travels, and with none of the code that the node uses."""
    _, _, _, addresses, offers, accounts, _, farms, evidence = msgpack.unpackb(codec.encode(told))
    owners = [statement[1:3] for statement, _ in accounts]
    keys = [signer for signer, _, _ in farms]
    packed = msgpack.packb([sorted(addresses), offers, owners, keys, evidence])
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
        "a farm": change(AD, farms=(FARM.admit(KEY.public_key),)),
        "a farm, admitted anew": change(AD, farms=(FARM.admit(KEY.public_key, serial=2),)),
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


HELD, ON_LIST = entry(), entry(section=LISTED)
MADE = Registered(PEER, OPERATOR, ANCHOR, NOW)
NEWER = Updated(PEER, OPERATOR, NEW, NOW + 1)
ADMITTED = SectionChanged(PEER, OPERATOR, LISTED)
REMOVED = SectionChanged(PEER, OPERATOR, PUBLIC)
BARRED = SectionChanged(PEER, OPERATOR, SUSPENDED)
LEFT = Deregistered(PEER, OPERATOR)
HANDED = HandedOver(PEER, OPERATOR, SECOND)


def build_marks() -> object:
    """Marks by what was read and what was heard after it."""
    cases = [*judge_entries(), *judge_events(), *judge_reorgs()]
    rules = ["ANC-5", "ANC-6", "ANC-7", "ANC-8"]
    return {"format": "marks/1", "rules": rules, "peer": text(PEER), "cases": cases}


def judge_entries() -> list[Case]:
    return [
        mark("nobody", "unregistered", "none"),
        mark("registered", "registered", "current", entries=[HELD]),
        mark(
            "registered before it advertised",
            "registered",
            "none",
            entries=[entry(digest=Digest(bytes(32)), sequence=0)],
        ),
        mark("signed anew", "registered", "current", entries=[HELD], told=renewed(AD)),
        mark("an older anchor", "registered", "older", entries=[entry(digest=OLD, sequence=1)]),
        mark("another digest of one sequence", "registered", "older", entries=[entry(digest=OLD)]),
        mark(
            "a newer anchor", "registered", "newer", entries=[entry(digest=NEW, sequence=NOW + 1)]
        ),
        mark("whitelisted", "whitelisted", "current", entries=[ON_LIST]),
        mark("suspended", "suspended", "current", entries=[entry(section=SUSPENDED)]),
        mark("a stranger's entry", "unregistered", "none", entries=[entry(STRANGER, LISTED)]),
        mark("another peer's", "unregistered", "none", entries=[entry(peer=OTHER.public_key)]),
        mark("no proof", "unregistered", "none", entries=[HELD], told=change(AD, accounts=())),
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
    ]


def judge_events() -> list[Case]:
    on_list, barred = [ON_LIST], [entry(section=SUSPENDED)]
    return [
        mark("made", "registered", "current", changes=[MADE]),
        mark("made and admitted", "whitelisted", "current", changes=[MADE, ADMITTED]),
        mark("updated", "whitelisted", "newer", entries=on_list, changes=[NEWER]),
        mark("an update of what was not known", "registered", "newer", changes=[NEWER]),
        mark("left", "unregistered", "none", entries=on_list, changes=[LEFT]),
        mark("handed over", "unregistered", "none", entries=on_list, changes=[HANDED]),
        mark(
            "taken over",
            "registered",
            "older",
            operator=SECOND,
            entries=on_list,
            changes=[HANDED],
            told=said(32),
        ),
        mark("removed", "registered", "current", entries=barred, changes=[REMOVED]),
        mark("barred again", "suspended", "current", entries=barred, changes=[ADMITTED, BARRED]),
    ]


def judge_reorgs() -> list[Case]:
    on_list = [ON_LIST]
    return [
        mark("not admitted", "registered", "current", changes=[MADE, ADMITTED], undone=1),
        mark("not made", "unregistered", "none", changes=[MADE, ADMITTED], undone=2),
        mark("not updated", "whitelisted", "current", entries=on_list, changes=[NEWER], undone=1),
        mark("did not leave", "whitelisted", "current", entries=on_list, changes=[LEFT], undone=1),
        mark("not handed", "whitelisted", "current", entries=on_list, changes=[HANDED], undone=1),
        mark("not barred", "whitelisted", "current", entries=on_list, changes=[BARRED], undone=1),
    ]


def mark(
    name: str,
    standing: str,
    anchor: str,
    *,
    entries: Sequence[RegistryEntry] = (),
    changes: Sequence[RegistryChange] = (),
    undone: int = 0,
    told: Advertisement = AD,
    operator: bytes = OPERATOR,
) -> Case:
    """undone: how many of the changes, each in a block of its own, a reorg undoes in the end."""
    events = [event(one, block) for block, one in enumerate(changes, start=1)]
    back = [event(one.change, one.block, undone=True) for one in events[::-1][:undone]]
    return {
        "advertisement": text(codec.encode(told)),
        "anchor": anchor,
        "entries": [show_entry(one) for one in entries],
        "events": [show_event(one) for one in (*events, *back)],
        "name": name,
        "operator": "" if standing == "unregistered" else text(operator),
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
