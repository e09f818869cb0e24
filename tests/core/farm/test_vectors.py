"""The published verdicts on certificates and records: protocols/farm/vectors."""

import json
from typing import Any

import pytest

from p2p_modelex import limits
from p2p_modelex.core.farm.book import FarmBook
from p2p_modelex.errors import RemoteProtocolError
from p2p_modelex.ids import NetworkId, PeerId, PublicKey, public_key_of
from p2p_modelex.records.envelope import decode_envelope
from p2p_modelex.records.farm import validate_certificate
from p2p_modelex.units import UnixMs
from tests.core.farm import make_vectors
from tests.core.farm.farms import FARM


def raw(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def load(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((make_vectors.VECTORS / f"{name}.json").read_text())
    return content


@pytest.mark.parametrize("name", make_vectors.BUILDERS)
def test_the_files_are_what_their_builder_builds(name: str) -> None:
    assert (make_vectors.VECTORS / f"{name}.json").read_text() == make_vectors.render(name)


@pytest.mark.parametrize("name", [case["name"] for case in load("record")["cases"]])
def test_records(name: str) -> None:
    content = load("record")
    case = next(one for one in content["cases"] if one["name"] == name)
    book = FarmBook(NetworkId(raw(content["network"])))
    book.want(FARM.public_key)
    for step in case["steps"]:
        expected = public_key_of(PeerId(raw(step["expected"]))) if "expected" in step else None
        now = UnixMs(int(content["now"]) + step["offset_ms"])
        verdict = book.judge(raw(step["message"]), now, expected=expected)
        assert (verdict.outcome.value, verdict.rule) == (step["verdict"], step["rule"])
        assert bool(verdict.reason) == bool(step["rule"])
        if verdict.accepted:
            held = book.get(FARM.public_key, now)
            assert held is not None
            assert held.envelope == raw(step["message"])


@pytest.mark.parametrize("name", [case["name"] for case in load("certificate")["cases"]])
def test_certificates(name: str) -> None:
    content = load("certificate")
    case = next(one for one in content["cases"] if one["name"] == name)
    rule = ""
    try:
        validate_certificate(
            decode_envelope(raw(case["certificate"]), limit=limits.ADVERTISEMENT_BYTES),
            PublicKey(raw(case["member"])),
            NetworkId(raw(content["network"])),
            UnixMs(int(case["since"])),
            UnixMs(int(case["until"])),
        )
    except RemoteProtocolError as error:
        rule = error.rule
    assert rule == case["rule"]
