"""Builds protocols/ledger/vectors: `python -m tests.core.ledger.make_vectors` writes them."""

import json
from pathlib import Path
from typing import Any

import msgspec

from p2p_modelex.records import codec
from p2p_modelex.records.channel import PayerTerms
from tests.core.exchange.cases import build_voucher
from tests.core.exchange.pair import CHANNELS, STATE, STRANGER, TERMS, build_state

THEIRS = STRANGER.address
OTHER = build_state(msgspec.structs.replace(TERMS, salt=b"x" * 32))
FILE = Path(__file__).parents[3] / "protocols" / "ledger" / "vectors" / "vouchers.json"


def build_vouchers() -> object:
    """First vouchers of a job of window 80 and ceiling 650, after those in `before` were taken for
    jobs that ended (`earned` on each), or run still where `is_running`."""
    owing = ended(0, 10)
    listed = [
        case("good", "", "", build_voucher()),
        case("prepaid", "", "", build_voucher(30)),
        case(
            "unknown channel",
            "LED-1",
            "no_channel",
            build_voucher(channel=OTHER.channel),
            terms=OTHER.terms.of_payer,
        ),
        case("closing channel", "LED-1", "no_channel", build_voucher(), closes_at=1),
        case("lane too high", "LED-2", "bad_voucher", build_voucher(lane=64)),
        case("early epoch", "LED-3", "wrong_epoch", build_voucher(), before=[ended(0, 0, 1)]),
        case(
            "epoch before another lane's",
            "LED-3",
            "wrong_epoch",
            build_voucher(lane=1),
            before=[ended(0, 0, 1)],
        ),
        case("channel of a later epoch", "", "", build_voucher(), deposit=160, channel_epoch=1),
        case(
            "half a deposit",
            "LED-6",
            "channel_exhausted",
            build_voucher(),
            deposit=159,
            channel_epoch=1,
        ),
        case("other epoch", "LED-3", "wrong_epoch", build_voucher(epoch=1)),
        case("shrunk", "LED-4", "bad_voucher", build_voucher(9), before=[ended(10, 10)]),
        case("lane in use", "LED-5", "lane_in_use", build_voucher(), before=[running()]),
        case("another lane", "", "", build_voucher(lane=1), before=[running()]),
        case("small deposit", "LED-6", "channel_exhausted", build_voucher(), deposit=79),
        case("just enough", "", "", build_voucher(), deposit=80),
        case(
            "another job's window",
            "LED-6",
            "channel_exhausted",
            build_voucher(lane=1),
            deposit=159,
            before=[running()],
        ),
        case("debt", "LED-7", "debt", build_voucher(9), base=9, before=[owing]),
        case("debt elsewhere", "LED-7", "debt", build_voucher(9, 1), base=9, before=[owing]),
        case("debt covered", "", "", build_voucher(10, 1), base=10, before=[owing]),
        case("debt from prepaid", "LED-7", "debt", build_voucher(40), base=9, before=[owing]),
        case("credit", "", "", build_voucher(10), base=4, before=[ended(10, 4)]),
        case("base over what is due", "", "", build_voucher(10), base=8, before=[ended(10, 4)]),
        case("base over the voucher", "LED-7", "bad_voucher", build_voucher(9), base=10),
        case("another payer", "LED-12", "bad_voucher", build_voucher(), terms=_but(payer=THEIRS)),
        case("another signer", "LED-12", "bad_voucher", build_voucher(), terms=_but(signer=THEIRS)),
        case("another salt", "LED-12", "bad_voucher", build_voucher(), terms=_but(salt=bytes(32))),
        case("stranger", "LED-8", "bad_voucher", build_voucher(signer=STRANGER)),
    ]
    return {
        "format": "ledger-vouchers/1",
        "rules": sorted({str(each["rule"]) for each in listed} - {""}),
        "domain": "0x" + CHANNELS.hex(),
        "channel": "0x" + STATE.channel.hex(),
        "payee": "0x" + STATE.payee.hex(),
        "terms": "0x" + codec.encode(TERMS.of_payer).hex(),
        "cases": listed,
    }


def _but(**changes: bytes) -> PayerTerms:
    """The channel's terms with something else in them."""
    return msgspec.structs.replace(TERMS.of_payer, **changes)


def case(
    name: str,
    rule: str,
    code: str,
    signed: object,
    *,
    base: int = 0,
    before: list[dict[str, Any]] | None = None,
    deposit: int = 10_000,
    closes_at: int = 0,
    channel_epoch: int = 0,
    terms: PayerTerms = TERMS.of_payer,
) -> dict[str, Any]:
    return {
        "base": str(base),
        "before": before or [],
        "channelEpoch": channel_epoch,
        "closesAt": str(closes_at),
        "code": code,
        "deposit": str(deposit),
        "name": name,
        "rule": rule,
        "terms": "0x" + codec.encode(terms).hex(),
        "voucher": "0x" + codec.encode(signed).hex(),
    }


def ended(amount: int, earned: int, epoch: int = 0) -> dict[str, Any]:
    """A job on lane 0 that is over."""
    voucher = "0x" + codec.encode(build_voucher(amount, epoch=epoch)).hex()
    return {"earned": str(earned), "isRunning": False, "voucher": voucher}


def running() -> dict[str, Any]:
    """A job on lane 0 that runs."""
    return {**ended(0, 0), "isRunning": True}


def render() -> str:
    return json.dumps(build_vouchers(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(render())
