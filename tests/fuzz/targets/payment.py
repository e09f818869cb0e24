"""A payment by x402 from anybody: what was signed, by the terms, or a refusal that says why."""

import base64
from typing import Any

import msgspec

from p2p_modelex.ids import Digest, format_address
from p2p_modelex.node.gateway.charging import shapes
from p2p_modelex.node.gateway.charging.verifying import (
    Unpaid,
    read_payment,
    validate_signature,
    validate_times,
)
from p2p_modelex.node.gateway.refusal import ErrorAnswer, Refusal
from p2p_modelex.records.authorization import TRANSFER, AuthorizedTransfer, compute_digest
from p2p_modelex.records.signers import EvmSigner
from p2p_modelex.units import Wei
from tests.fuzz import trees
from tests.fuzz.choices import Choices

NOW = 1_800_000_000
_PAYER = EvmSigner(b"\x07" * 32)
_DOMAIN = Digest(b"\x09" * 32)
_TERMS = shapes.Requirement(
    "exact", "eip155:1", "0x" + "11" * 20, "1000", "0x" + "22" * 20, 600, {"version": "1"}
)
_LIKE: tuple[Any, ...] = (
    *(None, True, 0, 2**63, 2**200, "", "0", "-1", "1e3", "\u0663", "9" * 77, "9" * 78),
    *("0x", "0x" + "ff" * 20, "0x" + "00" * 32, "0x" + "ff" * 65, [], {}, "upto", "eip155:2"),
)


def run(content: bytes) -> None:
    choices = Choices(content)
    if choices.chance(48):
        text = choices.rest().decode("latin-1")
    else:
        value = _build()
        for _ in range(choices.below(4)):
            value = trees.bend(value, choices, _LIKE)
        text = base64.b64encode(trees.write_json(value)).decode("ascii")
    try:
        signed = read_payment(text, _TERMS)
        validate_times(signed.transfer, NOW)
        validate_signature(signed, _DOMAIN)
    except Unpaid:
        return
    except Refusal as refusal:
        _check_refusal(refusal)
        return
    # Nobody else's signature is at hand: what passes is what was signed.
    assert signed.transfer == _transfer()


def _check_refusal(refusal: Refusal) -> None:
    assert (refusal.status, refusal.code) == (400, "invalid_payment")
    assert msgspec.json.decode(refusal.body, type=ErrorAnswer).error.message


def _transfer() -> AuthorizedTransfer:
    to = bytes.fromhex(_TERMS.pay_to[2:])
    nonce = Digest(b"\x05" * 32)
    return AuthorizedTransfer(_PAYER.address, type(_PAYER.address)(to), Wei(1000), 0, 2**40, nonce)


def _build() -> Any:
    transfer = _transfer()
    signature = _PAYER.sign_digest(compute_digest(TRANSFER, transfer, _DOMAIN))
    fields = shapes.TransferFields(
        from_=format_address(transfer.payer),
        to=_TERMS.pay_to,
        value="1000",
        valid_after="0",
        valid_before=str(2**40),
        nonce="0x" + transfer.nonce.hex(),
    )
    payload = shapes.ExactPayload(fields, "0x" + signature.hex())
    return msgspec.to_builtins(shapes.PaymentPayload(2, payload, _TERMS))
