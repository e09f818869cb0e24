"""Where $AI and PaymentChannels meet x402, its own Python package must agree (docs/contracts.md).

`exact` is the stock facilitator, verifying and settling on a real chain. Of `batch-settlement` the
wire shapes coincide and the contracts do not: each shape makes the round trip through the package's
classes, and what comes out opens a channel, redeems a voucher and pays.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import trio
from eth_account.messages import encode_typed_data
from eth_hash.backends.pysha3 import keccak256 as keccak
from eth_utils.address import to_checksum_address
from x402.mechanisms.evm.batch_settlement import types as batch
from x402.mechanisms.evm.batch_settlement.constants import RECEIVE_AUTHORIZATION_TYPES
from x402.mechanisms.evm.batch_settlement.utils import is_canonical_channel_id
from x402.mechanisms.evm.exact.client import ExactEvmScheme as Payer
from x402.mechanisms.evm.exact.facilitator import ExactEvmScheme as Facilitator
from x402.mechanisms.evm.signers import FacilitatorWeb3Signer
from x402.mechanisms.evm.types import TypedDataDomain, TypedDataField
from x402.schemas import PaymentPayload, PaymentRequirements

from p2p_modelex.chain.abc import Deployment
from p2p_modelex.chain.contracts.channels import Channels
from p2p_modelex.chain.contracts.network import Network
from p2p_modelex.chain.contracts.token import Token
from p2p_modelex.chain.devnet import CHAIN_ID, TEST_KEYS
from p2p_modelex.chain.evm.wire import to_hex
from p2p_modelex.ids import Address, ChannelId, Digest, format_address
from p2p_modelex.records.channel import ChannelTerms, Claim
from p2p_modelex.records.deposit import encode_opening
from p2p_modelex.records.eip712 import AccountSigner
from p2p_modelex.records.voucher import SignedVoucher, Voucher, sign
from p2p_modelex.units import AI, Wei
from tests.chain.contracts.conftest import Place
from tests.chain.contracts.scenes import split
from tests.chain.worlds import CHALLENGE_S, new_key

NETWORK = f"eip155:{CHAIN_ID}"
PRICE = 3 * AI
# Other tests have let the chain's time run ahead of the clock that the package reads.
LONG_S = 100 * 365 * 24 * 3600


class Wallet:
    """One of our keys, as x402 wants a payer's (ClientEvmSigner)."""

    def __init__(self, key: AccountSigner) -> None:
        self._key = key

    @property
    def address(self) -> str:
        return to_checksum_address(self._key.address)

    def sign_typed_data(
        self,
        domain: TypedDataDomain | dict[str, Any],
        types: dict[str, list[Any]],
        primary_type: str,
        message: dict[str, Any],
    ) -> bytes:
        if isinstance(domain, TypedDataDomain):
            domain = {
                "name": domain.name,
                "version": domain.version,
                "chainId": domain.chain_id,
                "verifyingContract": domain.verifying_contract,
            }
        plain = {name: [_field(field) for field in fields] for name, fields in types.items()}
        made = encode_typed_data(domain, plain, message)
        digest = Digest(keccak(b"\x19" + made.version + made.header + made.body))
        return self._key.sign_digest(digest)


def _field(field: TypedDataField | dict[str, str]) -> dict[str, str]:
    if isinstance(field, TypedDataField):
        return {"name": field.name, "type": field.type}
    return field


async def require(network: Network, payee: Address) -> PaymentRequirements:
    """What a seller answers with HTTP 402: the token's own domain, as ERC-5267 tells it."""
    token = Token(network)
    _, name, version, *_ = await token.ask("eip712Domain")
    return PaymentRequirements(
        scheme="exact",
        network=NETWORK,
        asset=format_address(token.address),
        amount=str(PRICE),
        pay_to=to_checksum_address(payee),
        max_timeout_seconds=LONG_S,
        extra={"name": name, "version": version},
    )


async def fetch_wei(network: Network, account: Address) -> int:
    return (await Token(network).fetch_balance(account)).wei


def pay(payer: Network, terms: PaymentRequirements) -> PaymentPayload:
    inner = Payer(Wallet(payer.signer)).create_payment_payload(terms)
    # As it travels: through JSON and back.
    text = PaymentPayload(payload=inner, accepted=terms).model_dump_json(by_alias=True)
    return PaymentPayload.model_validate_json(text)


@pytest.fixture
async def facilitator(place: Place) -> Facilitator:
    return Facilitator(FacilitatorWeb3Signer("0x" + TEST_KEYS[1].hex(), place.url))


async def in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """The package blocks: a thread of its own, so that Trio runs on."""
    return await trio.to_thread.run_sync(function, *arguments)


@pytest.mark.slow
async def test_a_stock_facilitator_settles_an_exact_payment(
    place: Place, facilitator: Facilitator
) -> None:
    payer, payee = await place.newcomer(), new_key().address
    terms = await require(payer, payee)
    assert terms.extra == {"name": "Modelex AI", "version": "1"}
    payment = pay(payer, terms)
    verdict = await in_thread(facilitator.verify, payment, terms)
    assert (verdict.is_valid, verdict.payer) == (True, to_checksum_address(payer.account))
    settled = await in_thread(facilitator.settle, payment, terms)
    assert settled.success, settled
    assert await fetch_wei(payer, payee) == PRICE
    again = await in_thread(facilitator.verify, payment, terms)
    assert not again.is_valid


@pytest.mark.slow
async def test_a_facilitator_refuses_what_the_token_would(
    place: Place, facilitator: Facilitator
) -> None:
    poor, rich = await place.newcomer(Wei(PRICE - 1)), await place.newcomer()
    terms = await require(poor, new_key().address)
    # Where there is Multicall3 it says why; on the devnet, that the token would revert.
    reason = "invalid_exact_evm_transaction_simulation_failed"
    verdict = await in_thread(facilitator.verify, pay(poor, terms), terms)
    assert verdict.invalid_reason == reason
    # A domain of another epoch than the token's: the signature is its signer's and still no good.
    early = terms.model_copy(update={"extra": terms.extra | {"version": "2"}})
    verdict = await in_thread(facilitator.verify, pay(rich, early), early)
    assert verdict.invalid_reason == reason
    verdict = await in_thread(facilitator.verify, pay(rich, terms), terms)
    assert verdict.is_valid


@pytest.mark.slow
async def test_the_domain_version_says_the_split_epoch(
    splitting: Place, facilitator: Facilitator
) -> None:
    payer, payee = await splitting.newcomer(), new_key().address
    old = await require(payer, payee)
    early = pay(payer, old)
    await split(splitting)
    new = await require(payer, payee)
    assert (old.extra["version"], new.extra["version"]) == ("1", "2")
    assert (await in_thread(facilitator.settle, pay(payer, new), new)).success
    assert await fetch_wei(payer, payee) == PRICE
    # What was signed before the split moves its worth, twice the number. The facilitator misses
    # the number: a seller asks anew after a split.
    late = await in_thread(facilitator.settle, early, old)
    assert not late.success
    assert await fetch_wei(payer, payee) == 3 * PRICE


@dataclass
class Shapes:
    """Our terms in x402's words. receiverAuthorizer: claims need no signature of the payee's, so
    it is the payee itself. lane and epoch have no word there: they travel beside the voucher.
    """

    deployment: Deployment
    payer: Address
    signer: Address
    payee: Address
    salt: Digest

    def config(self) -> batch.ChannelConfig:
        return batch.ChannelConfig(
            payer=format_address(self.payer),
            payer_authorizer=format_address(self.signer),
            receiver=format_address(self.payee),
            receiver_authorizer=format_address(self.payee),
            token=format_address(self.deployment.token),
            withdraw_delay=CHALLENGE_S,
            salt=to_hex(self.salt),
        )

    def voucher(self, signed: SignedVoucher) -> batch.VoucherFields:
        return batch.VoucherFields(
            channel_id=to_hex(signed.voucher.channel),
            max_claimable_amount=str(int(signed.voucher.amount)),
            signature=to_hex(signed.signature),
        )


def read_voucher(fields: batch.VoucherFields, lane: int, epoch: int) -> SignedVoucher:
    return SignedVoucher(
        Voucher(
            bytes.fromhex(fields.channel_id[2:]), lane, Wei(int(fields.max_claimable_amount)), epoch
        ),
        bytes.fromhex(fields.signature[2:]),
    )


@pytest.mark.slow
async def test_an_x402_deposit_opens_a_channel_and_its_claims_redeem(place: Place) -> None:
    payer, delegate = await place.newcomer(), new_key()
    payee, port = await place.new_account()
    network = place.deployment
    salt = Digest(keccak(b"salt"))
    shapes = Shapes(network, payer.account, delegate.address, payee.address, salt)
    channel = await _deposit(payer, await place.owner(), shapes)
    assert is_canonical_channel_id(to_hex(channel))

    signed = sign(Voucher(channel, 7, Wei(2 * AI), 0), network.channels_domain, delegate)
    wire = batch.VoucherPayload()
    wire.channel_config, wire.voucher = shapes.config(), shapes.voucher(signed)
    payload = wire.to_dict()
    assert batch.is_voucher_payload(payload)
    arrived = batch.VoucherPayload.from_dict(payload)
    assert arrived == wire
    assert arrived.voucher is not None
    assert read_voucher(arrived.voucher, lane=7, epoch=0) == signed

    claims = batch.ClaimPayload(
        claims=[
            batch.VoucherClaim(
                channel=shapes.config(),
                max_claimable_amount=arrived.voucher.max_claimable_amount,
                signature=arrived.voucher.signature,
                total_claimed=arrived.voucher.max_claimable_amount,
            )
        ]
    ).to_dict()
    assert batch.is_claim_payload(claims)
    assert batch.ClaimPayload.from_dict(claims).to_dict() == claims
    before = await fetch_wei(payer, payee.address)
    terms = ChannelTerms(payer.account, payee.address, delegate.address, salt)
    assert network.channel_id(terms) == channel
    await port.redeem([Claim(terms, read_voucher(arrived.voucher, lane=7, epoch=0))])
    assert await fetch_wei(payer, payee.address) == before + 2 * AI


async def _deposit(payer: Network, relayer: Network, shapes: Shapes) -> ChannelId:
    """The payer signs x402's deposit authorisation; a relayer brings it, and pays the gas."""
    channels = Channels(relayer)
    data = encode_opening(ChannelTerms(shapes.payer, shapes.payee, shapes.signer, shapes.salt))
    salt = keccak(b"authorisation")
    _, name, version, *_ = await Token(relayer).ask("eip712Domain")
    signature = Wallet(payer.signer).sign_typed_data(
        {
            "name": name,
            "version": version,
            "chainId": CHAIN_ID,
            "verifyingContract": format_address(shapes.deployment.token),
        },
        RECEIVE_AUTHORIZATION_TYPES,
        "ReceiveWithAuthorization",
        {
            "from": to_checksum_address(shapes.payer),
            "to": to_checksum_address(channels.address),
            "value": 5 * AI,
            "validAfter": 0,
            "validBefore": 2**40,
            "nonce": await channels.ask("authorizationNonce", data, salt),
        },
    )
    wire = {
        "amount": str(5 * AI),
        "authorization": {
            "erc3009Authorization": {
                "validAfter": "0",
                "validBefore": str(2**40),
                "salt": to_hex(salt),
                "signature": to_hex(signature),
            }
        },
    }
    deposit = batch.DepositFields.from_dict(wire)
    assert deposit.to_dict() == wire
    found = deposit.authorization.erc3009_authorization
    assert found is not None
    raw = bytes.fromhex(found.signature[2:])
    authorization = (
        int(found.valid_after),
        int(found.valid_before),
        bytes.fromhex(found.salt[2:]),
        raw[64],
        raw[:32],
        raw[32:64],
    )
    fields = (shapes.payer, int(deposit.amount), data, authorization)
    sent = await channels.tell("depositWithAuthorization", *fields)
    opened = sent.event("Opened")
    assert opened["deposit"] == 5 * AI
    return ChannelId(opened["channel"])
