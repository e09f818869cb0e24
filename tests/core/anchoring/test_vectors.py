"""The vectors of protocols/anchoring are what their builder builds, and hold."""

import json
from typing import Any

import pytest

from p2p_modelex.core.anchoring.marks import compute_mark, get_standing
from p2p_modelex.core.anchoring.registrations import Registrations
from p2p_modelex.core.anchoring.substance import compute_anchor
from p2p_modelex.ids import Address, Digest, PublicKey, peer_id_of
from p2p_modelex.records import codec, registry
from p2p_modelex.records.advertisement import Advertisement
from p2p_modelex.records.registry import RegistryEntry, RegistryEvent, RegistrySection
from tests.core.anchoring.make_vectors import FILES, FOLDER, fields_of, render

NOBODY = (PublicKey(bytes(32)), Address(bytes(20)))


def load(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text())


def unhex(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def read_advertisement(text: str) -> Advertisement:
    told: Advertisement = codec.decode(Advertisement, unhex(text), limit=4096)
    return told


@pytest.mark.parametrize("name", FILES)
def test_vectors_are_what_their_builder_builds(name: str) -> None:
    assert (FOLDER / name).read_text() == render(name)


@pytest.mark.parametrize("case", load("anchors")["cases"], ids=lambda case: case["name"])
def test_anchors(case: dict[str, Any]) -> None:
    """ANC-1."""
    assert compute_anchor(read_advertisement(case["advertisement"])) == unhex(case["anchor"])


def test_only_substance_changes_an_anchor() -> None:
    anchors = {case["name"]: case["anchor"] for case in load("anchors")["cases"]}
    assert anchors["plain"] == anchors["signed anew"]
    assert anchors["two addresses"] == anchors["the same addresses in another order"]
    assert anchors["a farm"] == anchors["a farm, admitted anew"]
    assert len(set(anchors.values())) == len(anchors) - 3


@pytest.mark.parametrize("case", load("marks")["cases"], ids=lambda case: case["name"])
def test_marks(case: dict[str, Any]) -> None:
    """ANC-5 to ANC-8."""
    held = Registrations(NOBODY)
    for one in case["entries"]:
        held.note(read_entry(one))
    for one in case["events"]:
        assert held.fold(read_event(one))
    peer = peer_id_of(PublicKey(unhex(load("marks")["peer"])))
    told = read_advertisement(case["advertisement"])
    mark = compute_mark(held, peer, told)
    assert (mark.standing.name.lower(), mark.anchor) == (case["standing"], case["anchor"])
    assert mark.operator == (unhex(case["operator"]) if case["operator"] else None)
    assert get_standing(held, peer, told) is mark.standing


def read_entry(one: dict[str, Any]) -> RegistryEntry:
    return RegistryEntry(
        PublicKey(unhex(one["peer"])),
        Address(unhex(one["operator"])),
        Digest(unhex(one["digest"])),
        int(one["sequence"]),
        "",
        RegistrySection(one["section"]),
    )


def read_event(one: dict[str, Any]) -> RegistryEvent:
    kind = getattr(registry, one["kind"])
    fields = {name: read_field(name, one[name]) for name in fields_of(kind)}
    return RegistryEvent(kind(**fields), one["block"], one["undone"])


def read_field(name: str, value: Any) -> Any:
    match name:
        case "sequence":
            return int(value)
        case "section":
            return RegistrySection(value)
        case _:
            return unhex(value)
