"""The vectors of protocols/ledger are what their builder builds, and hold."""

import json
from typing import Any

import msgspec
import pytest

from p2p_modelex.errors import JobRefused
from p2p_modelex.records import codec
from p2p_modelex.records.channel import PayerTerms
from p2p_modelex.records.rows import Row
from p2p_modelex.records.voucher import SignedVoucher
from p2p_modelex.units import Epoch, Wei
from tests.core.exchange.pair import STATE, build_job, build_payee, cover_due
from tests.core.ledger.make_vectors import FILE, render


def load() -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(FILE.read_text())["cases"]
    return listed


def read_terms(text: str) -> PayerTerms:
    terms: PayerTerms = codec.decode(PayerTerms, bytes.fromhex(text[2:]), limit=1000)
    return terms


def read(text: str) -> SignedVoucher:
    signed: SignedVoucher = codec.decode(SignedVoucher, bytes.fromhex(text[2:]), limit=1000)
    return signed


def test_vectors_are_what_their_builder_builds() -> None:
    assert FILE.read_text() == render()


@pytest.mark.parametrize("case", load(), ids=lambda case: case["name"])
def test_first_vouchers(case: dict[str, Any]) -> None:
    state = msgspec.structs.replace(
        STATE,
        deposit=Wei(int(case["deposit"])),
        closes_at=int(case["closesAt"]),
        epoch=case["channelEpoch"],
    )
    payee = build_payee(state)
    epoch, window, ceiling = Epoch(0), Wei(80), Wei(650)
    for number, before in enumerate(case["before"], start=10):
        job = build_job(number)
        signed = read(before["voucher"])
        base = cover_due(payee, signed.voucher)
        then = Epoch(signed.voucher.epoch)
        payee.open_lane(job, signed, then, base=base, window=window, ceiling=ceiling)
        if not before["isRunning"]:
            payee.earn(job, Wei(int(before["earned"])))
            payee.close(job)
    voucher, base = read(case["voucher"]), Wei(int(case["base"]))

    def open_lane() -> tuple[Row, ...]:
        payee.identify(read_terms(case["terms"]), voucher)
        return payee.open_lane(
            build_job(1), voucher, epoch, base=base, window=window, ceiling=ceiling
        )

    if not case["code"]:
        assert open_lane()
        return
    with pytest.raises(JobRefused) as caught:
        open_lane()
    assert caught.value.code == case["code"]
    assert case["rule"] in caught.value.message or case["code"] == "debt"
