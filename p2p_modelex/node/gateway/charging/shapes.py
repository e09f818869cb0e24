"""What x402 (version 2) sends in the heads of HTTP, for the scheme `exact` by ERC-3009.

https://github.com/x402-foundation/x402, specs/; tests hold it to x402's own package.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from p2p_modelex.node.gateway.refusal import Refusal

VERSION = 2
SCHEME = "exact"
OFFER = "payment-required"
"""What is to be paid, in the head of a 402."""
PAYMENT = "payment-signature"
"""What is paid, in the head of a request."""
RESULT = "payment-response"
"""How it was settled, in the head of an answer."""

# Under 2^256.
_Number = Annotated[str, Meta(pattern=r"\A[0-9]{1,77}\Z")]
_Account = Annotated[str, Meta(pattern=r"\A0x[0-9a-fA-F]{40}\Z")]


class Resource(msgspec.Struct, frozen=True, rename="camel"):
    """What is paid for."""

    url: str
    description: str
    mime_type: str = "application/json"


class Requirement(msgspec.Struct, frozen=True, rename="camel"):
    """One way to pay. amount: wei, in the split epoch that `extra` says: its version is one more.

    network: `eip155:` and the chain's id. asset: the token. extra: the token's EIP-712 domain.
    """

    scheme: str
    network: str
    asset: str
    amount: _Number
    pay_to: str
    max_timeout_seconds: int
    extra: Mapping[str, Any]


class PaymentRequired(msgspec.Struct, frozen=True, rename="camel"):
    """The ways to pay for a request. error: why it is not paid yet."""

    x402_version: int
    error: str
    resource: Resource
    accepts: list[Requirement]


class TransferFields(msgspec.Struct, frozen=True, rename="camel"):
    """ERC-3009's authorisation, as text."""

    from_: _Account = msgspec.field(name="from")
    to: _Account
    value: _Number
    valid_after: _Number
    valid_before: _Number
    nonce: Annotated[str, Meta(pattern=r"\A0x[0-9a-fA-F]{64}\Z")]


class ExactPayload(msgspec.Struct, frozen=True, rename="camel"):
    """The signed authorisation. signature: r | s | v."""

    authorization: TransferFields
    signature: Annotated[str, Meta(pattern=r"\A0x[0-9a-fA-F]{130}\Z")]


class PaymentPayload(msgspec.Struct, frozen=True, rename="camel"):
    """What a request is paid with. accepted: the requirement that it fulfils."""

    x402_version: Literal[2]
    payload: ExactPayload
    accepted: Requirement


class SettleResponse(msgspec.Struct, frozen=True, rename="camel"):
    """The payment that was settled. transaction: its hash. amount: wei."""

    payer: str
    transaction: str
    network: str
    amount: str
    success: Literal[True] = True


def name_network(chain_id: int) -> str:
    """Return what CAIP-2 calls a chain."""
    return f"eip155:{chain_id}"


def encode(shape: msgspec.Struct) -> str:
    """Return a shape as a head carries it."""
    return base64.b64encode(msgspec.json.encode(shape)).decode("ascii")


def decode_payment(text: str) -> PaymentPayload:
    """Read the payment of a request. Raises Refusal."""
    try:
        return msgspec.json.decode(base64.b64decode(text, validate=True), type=PaymentPayload)
    except (binascii.Error, ValueError, msgspec.MsgspecError, RecursionError) as error:
        message = f"{PAYMENT} is not an x402 payment (version 2, exact, ERC-3009): {error}"
        raise Refusal(400, "invalid_payment", message, param=PAYMENT) from error
