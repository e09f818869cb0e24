"""Builds protocols/exchange/vectors: `python -m tests.core.exchange.make_vectors` writes them."""

import json
from collections.abc import Iterable
from pathlib import Path

import msgspec

from p2p_modelex.core.exchange.receipt_file import encode_receipt_file
from p2p_modelex.core.exchange.sale import compute_request_digest
from p2p_modelex.core.exchange.table import (
    PROVIDER_MESSAGES,
    REQUESTER_MESSAGES,
    TRANSITIONS,
    State,
)
from p2p_modelex.ids import PeerId
from p2p_modelex.records import codec, ownership
from p2p_modelex.records.job import Request
from p2p_modelex.records.ownership import Ownership
from p2p_modelex.records.receipt import SignedReceipt
from p2p_modelex.records.rows import ReceiptRow
from tests.core.exchange import cases
from tests.core.exchange.pair import (
    DELEGATE,
    NOW,
    OPERATOR,
    OTHER_KEY,
    OWNERSHIP,
    PROVIDER_KEY,
    REGISTRY,
    REQUEST,
    STRANGER,
)

FOLDER = Path(__file__).parents[3] / "protocols" / "exchange" / "vectors"


def build_table() -> object:
    """Every pair of state and message; an empty `next` breaks EXC-2."""
    listed = []
    for state in State:
        for kind in (*REQUESTER_MESSAGES, *PROVIDER_MESSAGES):
            after = TRANSITIONS.get((state, kind))
            listed.append(
                {
                    "message": kind.__name__,
                    "next": after.value if after else "",
                    "state": state.value,
                }
            )
    return {"format": "exchange-table/1", "rules": ["EXC-2"], "cases": listed}


def build_messages() -> object:
    """Frames to an end in a given state, and the rule that the last of them breaks."""
    listed = [
        *_cases("provider", "idle", cases.to_provider()),
        *_cases("requester", "asked", cases.to_requester_asked()),
        *_cases("requester", "ordered", cases.to_requester_ordered()),
        *_cases("requester", "ordered", cases.to_requester_of_logprobs(), cases.TELLING),
        *_cases("requester", "ordered", cases.to_requester_of_calls(), cases.EQUIPPED),
    ]
    rules = sorted({str(case["rule"]) for case in listed} - {""} | {"EXC-1"})
    return {
        "format": "exchange-messages/1",
        "rules": rules,
        "now": str(NOW),
        "request": "0x" + codec.encode(REQUEST).hex(),
        "cases": listed,
    }


def _cases(
    to: str, state: str, found: Iterable[cases.Case], request: Request = REQUEST
) -> list[dict[str, object]]:
    own = {} if request is REQUEST else {"request": "0x" + codec.encode(request).hex()}
    return [
        own
        | {
            "frames": [
                "0x" + (m if isinstance(m, bytes) else codec.encode(m)).hex() for m in messages
            ],
            "name": name,
            "rule": rule,
            "state": state,
            "to": to,
        }
        for name, rule, messages in found
    ]


def build_row(**changes: object) -> ReceiptRow:
    row = ReceiptRow(
        is_provider=False,
        peer=PROVIDER_KEY.peer,
        receipt=cases.build_finished().receipt,
        request=REQUEST,
        completion="a b",
        ownership=OWNERSHIP,
    )
    return msgspec.structs.replace(row, **changes)


def build_receipts() -> object:
    """Receipt files, and the check that fails (empty: none)."""
    good = build_row()
    expired = ownership.sign(
        Ownership(PROVIDER_KEY.public_key, OPERATOR.address, DELEGATE.address, NOW - 1),
        REGISTRY,
        OPERATOR,
    )
    forged = ownership.sign(OWNERSHIP.ownership, REGISTRY, STRANGER)
    pinned = msgspec.structs.replace(REQUEST, weights=b"v" * 32)
    of_pinned = compute_request_digest(pinned)
    rows = {
        "": good,
        "peer": build_row(peer=PeerId(OTHER_KEY.peer)),
        "request": build_row(request=msgspec.structs.replace(REQUEST, seed=1)),
        "completion": build_row(completion="a c"),
        "weights": build_row(
            request=pinned, receipt=cases.build_finished(request=of_pinned).receipt
        ),
        "tokens": build_row(receipt=cases.build_finished(completion_tokens=65).receipt),
        "date": build_row(ownership=expired),
        "signature": build_row(receipt=SignedReceipt(good.receipt.receipt, b"\x01" * 65)),
        "ownership": build_row(ownership=forged),
    }
    listed = [
        {"check": check, "file": encode_receipt_file(row).decode()} for check, row in rows.items()
    ]
    text = encode_receipt_file(good).decode()
    listed += [
        {"check": "file", "file": broken}
        for broken in (
            "",
            "[]",
            "{}",
            "[" * 5000,
            text.replace('"version": 1', '"version": 2'),
            text.replace('"0x', '"1x', 1),
            text.replace('"0x', '"0xzz', 1),
            text.replace('"price": "30"', '"price": "-1"'),
            text.replace('"seed": 0', '"seed": "0"'),
            text.replace('"seed": 0', '"seed": 1e400'),
            text.replace('"lane"', '"line"'),
        )
    ]
    return {"format": "exchange-receipts/1", "rules": ["EXC-16", "EXC-18"], "cases": listed}


FILES = {
    "table.json": build_table,
    "messages.json": build_messages,
    "receipts.json": build_receipts,
}


def render(content: object) -> str:
    return json.dumps(content, indent=2) + "\n"


if __name__ == "__main__":
    for file_name, build in FILES.items():
        (FOLDER / file_name).write_text(render(build()))
