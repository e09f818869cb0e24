"""The vectors of protocols/exchange are what their builder builds, and hold (EXC-1, EXC-3 ...)."""

import json
from typing import Any

import pytest

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as given
from p2p_modelex.core.exchange import parameters, table
from p2p_modelex.core.exchange.receipt_file import decode_receipt_file, encode_receipt_file
from p2p_modelex.core.exchange.table import State
from p2p_modelex.core.exchange.verification import verify_receipt_row
from p2p_modelex.errors import LocalProtocolError, RemoteProtocolError, VerificationFailed
from p2p_modelex.records import codec
from p2p_modelex.records.job import Request
from p2p_modelex.units import UnixMs
from tests.core.exchange import cases
from tests.core.exchange.make_vectors import FILES, FOLDER, build_row, render
from tests.core.exchange.pair import (
    NOW,
    P_STREAM,
    R_STREAM,
    REGISTRY,
    REQUEST,
    Pair,
    build_purchase,
)

README = FOLDER.parent / "README.md"


def load(name: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads((FOLDER / name).read_text())["cases"]
    return listed


@pytest.mark.parametrize("name", FILES)
def test_vectors_are_what_their_builder_builds(name: str) -> None:
    assert (FOLDER / name).read_text() == render(FILES[name]())


def test_the_readme_has_the_table() -> None:
    inside = README.read_text().split("<!-- table -->\n")[1].split("<!-- /table -->")[0]
    assert inside == table.build_table()


@pytest.mark.parametrize("case", load("table.json"), ids=lambda c: f"{c['state']}-{c['message']}")
def test_table(case: dict[str, Any]) -> None:
    kinds = (*table.REQUESTER_MESSAGES, *table.PROVIDER_MESSAGES)
    kind = next(kind for kind in kinds if kind.__name__ == case["message"])
    message = next(m for m in cases.SAMPLES if type(m) is kind)
    state = State(case["state"])
    if case["next"]:
        assert table.on_sent(state, message) == State(case["next"])
        assert table.on_received(state, message) == State(case["next"])
        return
    with pytest.raises(LocalProtocolError):
        table.on_sent(state, message)
    with pytest.raises(RemoteProtocolError, match="EXC-2"):
        table.on_received(state, message)


@pytest.mark.parametrize("case", load("messages.json"), ids=lambda c: c["to"] + " " + c["name"])
def test_messages(case: dict[str, Any]) -> None:
    request = REQUEST
    if "request" in case:
        request = codec.decode(Request, bytes.fromhex(case["request"][2:]), limit=10**6)
    pair = Pair(build_purchase(request=request, is_fast=case["state"] != "asked"))
    is_to_provider = case["to"] == "provider"
    if not is_to_provider:
        pair.carry(pair.r, pair.p, pair.requester.start(NOW))
    stream, step, side = (
        (P_STREAM, pair.to_provider, pair.p)
        if is_to_provider
        else (R_STREAM, pair.to_requester, pair.r)
    )
    for text in case["frames"]:
        assert not side.penalties
        effects = step(given.FrameReceived(stream, bytes.fromhex(text[2:])))
    if not case["rule"]:
        assert not side.penalties
        return
    assert side.penalties[0].reason.startswith(case["rule"] + ":")
    assert fx.ResetStream(stream) in effects
    assert (pair.provider if is_to_provider else pair.requester).is_over
    if not is_to_provider:
        failed = side.events[-1]
        assert isinstance(failed, fx.RunFailed)
        assert failed.code == "protocol"


@pytest.mark.parametrize("case", load("receipts.json"), ids=lambda c: c["check"])
def test_receipts(case: dict[str, Any]) -> None:
    content = case["file"].encode()
    if not case["check"]:
        verify_receipt_row(decode_receipt_file(content), REGISTRY, NOW)
        return
    with pytest.raises(VerificationFailed, match=f"^{case['check']}: "):
        verify_receipt_row(decode_receipt_file(content), REGISTRY, NOW)


def test_receipts_from_the_future_and_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """EXC-16, EXC-18."""
    row = build_row()
    with pytest.raises(VerificationFailed, match=r"^date: "):
        verify_receipt_row(row, REGISTRY, UnixMs(NOW - 60_001))
    verify_receipt_row(row, REGISTRY, None)
    content = encode_receipt_file(row)
    monkeypatch.setattr(parameters, "RECEIPT_FILE_BYTES", 100)
    with pytest.raises(LocalProtocolError):
        encode_receipt_file(row)
    with pytest.raises(VerificationFailed, match=r"^file: too large"):
        decode_receipt_file(content)


def test_an_amount_in_a_receipt_file_is_a_decimal_string() -> None:
    """EXC-18."""
    shown = json.loads(encode_receipt_file(build_row()))
    for wrong in (5, "05", "0x5"):
        shown["receipt"]["receipt"]["price"] = wrong
        with pytest.raises(VerificationFailed, match=r"^file: malformed: .*\(EXC-18\)"):
            decode_receipt_file(json.dumps(shown).encode())
