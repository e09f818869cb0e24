"""A receipt file from a stranger, as `modelex verify` reads it: a verdict, never another error."""

import json
from typing import Any

from p2p_modelex.core.exchange.receipt_file import decode_receipt_file, encode_receipt_file
from p2p_modelex.core.exchange.verification import verify_receipt_row
from p2p_modelex.errors import VerificationFailed
from p2p_modelex.records.rows import ReceiptRow
from tests.core.exchange import pair
from tests.core.exchange.cases import build_finished
from tests.fuzz import trees
from tests.fuzz.choices import Choices

GOOD: Any = json.loads(
    encode_receipt_file(
        ReceiptRow(
            is_provider=False,
            peer=pair.PROVIDER_KEY.peer,
            receipt=build_finished().receipt,
            request=pair.REQUEST,
            completion="a b",
            ownership=pair.OWNERSHIP,
        )
    )
)
_LIKE: tuple[Any, ...] = (
    "0x",
    "0x" + "00" * 32,
    "0x0g",
    "1" * 5000,
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
        row = decode_receipt_file(shown)
        verify_receipt_row(row, pair.REGISTRY, pair.NOW)
    except VerificationFailed:
        return
    assert row.receipt.receipt == build_finished().receipt.receipt, "a forged receipt verifies"
    assert row.completion == "a b"
