"""A report: its digest is eth-account's, its file comes back whole, and nothing else does."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest
from eth_account.messages import encode_typed_data
from eth_hash.backends.pysha3 import keccak256 as keccak
from hypothesis import given
from hypothesis import strategies as st

from p2p_modelex.errors import BadInput, VerificationFailed
from p2p_modelex.ids import Address, Digest
from p2p_modelex.records import eip712, report
from p2p_modelex.records.report import NO_COMPLETION, Report, SignedReport
from p2p_modelex.records.report_file import FILE_BYTES, decode_report_file, encode_report_file
from p2p_modelex.records.signers import EvmSigner
from p2p_modelex.units import Epoch, Wei
from tests.records.eip712_vectors import CHAIN_ID, TYPES, parse_type
from tests.records.test_eip712 import camel

HUB = Address(b"\x0a" * 20)
DOMAIN = eip712.compute_domain(CHAIN_ID, HUB)
KEY = EvmSigner(b"\x11" * 32)
SCORE = Report(Digest(b"\x01" * 32), -42, NO_COMPLETION, Wei(7), Epoch(1), 1_795_000_000)

digests = st.binary(min_size=32, max_size=32).map(Digest)
reports = st.builds(
    Report,
    digests,
    st.integers(-(2**127), 2**127 - 1),
    digests,
    st.integers(0, 2**128 - 1).map(Wei),
    st.integers(0, 2**16 - 1).map(Epoch),
    st.integers(0, 2**64 - 1),
)


@given(reports)
def test_the_digest_is_eth_accounts(statement: Report) -> None:
    made = encode_typed_data(
        {
            "name": "Modelex",
            "version": "1",
            "chainId": CHAIN_ID,
            "verifyingContract": "0x" + HUB.hex(),
        },
        {"Report": parse_type(TYPES["Report"])},
        {camel(name): value for name, value in asdict(statement).items()},
    )
    theirs = keccak(b"\x19" + made.version + made.header + made.body)
    assert report.compute_digest(statement, DOMAIN) == theirs


@given(reports, st.binary(max_size=200))
def test_a_file_comes_back_whole(statement: Report, signature: bytes) -> None:
    signed = SignedReport(statement, KEY.address, signature)
    assert decode_report_file(encode_report_file(signed, CHAIN_ID, HUB), CHAIN_ID, HUB) == signed


@pytest.mark.parametrize(
    "change",
    [
        {"subject": Digest(b"short")},
        {"completion": Digest(b"")},
        {"score": 2**127},
        {"score": -(2**127) - 1},
        {"epoch": Epoch(2**16)},
        {"observed_at": 2**64},
        {"observed_at": -1},
    ],
    ids=str,
)
def test_what_the_contract_cannot_hold_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        replace(SCORE, **change)


def test_only_its_signer_signed_it() -> None:
    signed = report.sign(SCORE, DOMAIN, KEY)
    report.validate(signed, DOMAIN)
    for bad in (
        replace(signed, signer=HUB),
        replace(signed, report=replace(SCORE, score=-41)),
        replace(signed, signature=b"a contract's"),
    ):
        with pytest.raises(VerificationFailed, match=r"^signature: "):
            report.validate(bad, DOMAIN)


def _with(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        place = content["report"] if name in content["report"] else content
        place[name] = value

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_with("format", "modelex receipt"), "not a Modelex report"),
        (_with("version", 2), "not of version 1"),
        (_with("score", -42), "numbers are decimal text"),
        (_with("score", "-042"), "numbers are decimal text"),
        (_with("score", "9" * 5000), "numbers are decimal text"),
        (_with("score", "9" * 40), "a score lies in"),
        (_with("price", "-1"), "an amount lies in"),
        (_with("subject", "01" * 32), "bytes are text that begins with 0x"),
        (_with("subject", "0x0g"), "malformed"),
        (_with("signer", "0x01"), "1 bytes where there are 20"),
        (_with("report", []), "malformed"),
        (lambda content: content.pop("signature"), "malformed: KeyError"),
    ],
)
def test_a_file_of_another_kind_is_refused(
    change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    content = json.loads(encode_report_file(report.sign(SCORE, DOMAIN, KEY), CHAIN_ID, HUB))
    change(content)
    with pytest.raises(BadInput, match=reason):
        decode_report_file(json.dumps(content).encode(), CHAIN_ID, HUB)


@pytest.mark.parametrize("place", [(1, HUB), (CHAIN_ID, Address(b"\x0b" * 20))])
def test_a_report_for_another_oracle_does_not_verify(place: tuple[int, Address]) -> None:
    content = encode_report_file(report.sign(SCORE, DOMAIN, KEY), *place)
    with pytest.raises(VerificationFailed, match="another network's oracle"):
        decode_report_file(content, CHAIN_ID, HUB)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b"[" * 9000, b"\xff", b" " * FILE_BYTES + b" "]
)
def test_no_file_at_all_is_refused(content: bytes) -> None:
    with pytest.raises(BadInput, match=r"^file: "):
        decode_report_file(content, CHAIN_ID, HUB)
