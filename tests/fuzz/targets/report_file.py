"""A report file from a stranger, as `modelex oracle` reads it: a verdict, never another error."""

import json
from typing import Any

from p2p_modelex.errors import BadInput, VerificationFailed
from p2p_modelex.ids import Address, Digest
from p2p_modelex.records import eip712
from p2p_modelex.records.report import NO_COMPLETION, Report, sign, validate
from p2p_modelex.records.report_file import decode_report_file, encode_report_file
from p2p_modelex.records.signers import EvmSigner
from p2p_modelex.units import Epoch, Wei
from tests.fuzz import trees
from tests.fuzz.choices import Choices

_CHAIN, _HUB = 31337, Address(b"\x0a" * 20)
_DOMAIN = eip712.compute_domain(_CHAIN, _HUB)
_REPORT = Report(Digest(b"\x01" * 32), -42, NO_COMPLETION, Wei(7), Epoch(1), 1_795_000_000)
_SIGNED = sign(_REPORT, _DOMAIN, EvmSigner(b"\x11" * 32))
GOOD: Any = json.loads(encode_report_file(_SIGNED, _CHAIN, _HUB))
_LIKE: tuple[Any, ...] = (
    "0x",
    "0x" + "00" * 32,
    "0x0g",
    "1" * 5000,
    "-0",
    "٣",
    0.5,
    float("nan"),
    [],
    {},
    None,
    True,
    2**200,
)


def run(content: bytes) -> None:
    choices = Choices(content)
    if choices.chance(64):
        shown = choices.rest()
    else:
        value = GOOD
        for _ in range(choices.below(4)):
            value = trees.bend(value, choices, _LIKE)
        shown = trees.write_json(value)
    try:
        signed = decode_report_file(shown, _CHAIN, _HUB)
        validate(signed, _DOMAIN)
    except (BadInput, VerificationFailed):
        return
    if signed.signer == _SIGNED.signer:
        assert signed == _SIGNED, "a forged report verifies"
    assert decode_report_file(encode_report_file(signed, _CHAIN, _HUB), _CHAIN, _HUB) == signed
