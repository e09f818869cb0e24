"""The published verdicts on certificates: protocols/farm/vectors."""

import json
from typing import Any

import pytest

from p2p_modelex import limits
from p2p_modelex.errors import RemoteProtocolError
from p2p_modelex.ids import NetworkId, PublicKey
from p2p_modelex.records.envelope import decode_envelope
from p2p_modelex.records.farm import validate_certificate
from p2p_modelex.units import UnixMs
from tests.core.farm import make_vectors


def raw(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def load(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((make_vectors.VECTORS / f"{name}.json").read_text())
    return content


@pytest.mark.parametrize("name", make_vectors.BUILDERS)
def test_the_files_are_what_their_builder_builds(name: str) -> None:
    assert (make_vectors.VECTORS / f"{name}.json").read_text() == make_vectors.render(name)


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
