"""Payers by x402's own Python package."""

from collections.abc import Callable

from eth_account import Account
from x402 import x402ClientSync
from x402.client_base import SpendControls
from x402.http.utils import (
    decode_payment_required_header,
    decode_payment_response_header,
    encode_payment_signature_header,
)
from x402.mechanisms.evm.exact.client import ExactEvmScheme
from x402.schemas import PaymentPayload, PaymentRequired, SettleResponse

from p2p_modelex.chain.abc import Deployment
from p2p_modelex.ids import format_address
from p2p_modelex.node.charging_settings import X402Settings
from p2p_modelex.node.gateway.charging import shapes
from p2p_modelex.records.signers import EvmSigner
from p2p_modelex.units import AI, Wei
from tests.node.gateway.serving import CHAT, Reply, Served
from tests.node.world import DEPLOYMENT

CHARGES = X402Settings(charge=True, least=Wei(0))
KEY = b"\x51" * 32
PAYER = EvmSigner(KEY).address
Change = Callable[[PaymentPayload], object]


def read_offer(reply: Reply) -> PaymentRequired:
    """What a 402 asks for."""
    assert reply.status == 402
    offer = decode_payment_required_header(reply.headers[shapes.OFFER])
    assert isinstance(offer, PaymentRequired)
    assert offer.error == reply.error["message"]
    return offer


def read_result(reply: Reply) -> SettleResponse:
    return decode_payment_response_header(reply.headers[shapes.RESULT])


def allow(deployment: Deployment) -> SpendControls:
    """The package pays in the tokens that it knows unless it is told of others."""
    network, asset = shapes.name_network(deployment.chain_id), format_address(deployment.token)
    most = str(int(AI))
    return {
        "allowed_assets": [{"network": network, "asset": asset, "max_amount_per_payment": most}]
    }


def payer_of(deployment: Deployment = DEPLOYMENT) -> x402ClientSync:
    payer = x402ClientSync()
    payer.set_spend_controls(allow(deployment))
    payer.register("eip155:*", ExactEvmScheme(Account.from_key(KEY)))
    return payer


def sign(offer: PaymentRequired, change: Change = lambda _: None) -> str:
    """A payment as a head carries it. change: what is spoilt of it after it was signed."""
    payment = payer_of().create_payment_payload(offer)
    assert isinstance(payment, PaymentPayload)
    change(payment)
    return encode_payment_signature_header(payment)


async def get_payment(served: Served, **more: object) -> str:
    """Ask, be told what to pay, and sign that."""
    return sign(read_offer(await served.chat(**more)))


async def chat(served: Served, payment: str, **more: object) -> Reply:
    return await served.ask("POST", "/v1/chat/completions", {**CHAT, **more}, **headers(payment))


def headers(payment: str) -> dict[str, str]:
    return {shapes.PAYMENT.replace("-", "_"): payment}


def give(served: Served, amount: Wei = AI) -> None:
    served.world.ledger.mint(PAYER, amount)
