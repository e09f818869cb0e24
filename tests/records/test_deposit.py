"""A deposit's bytes and its authorisation, against eth-abi and eth-account; the contract checks
them in tests/chain/contracts.
"""

from eth_abi.abi import encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_hash.backends.pysha3 import keccak256 as keccak

from p2p_modelex.ids import Address, ChannelId, Digest, format_address
from p2p_modelex.records.channel import ChannelTerms
from p2p_modelex.records.deposit import Authorization, encode_opening, encode_top_up, sign
from p2p_modelex.records.permit import compute_token_domain
from p2p_modelex.records.signers import EvmSigner
from p2p_modelex.units import AI, Epoch, Wei

KEY = b"\7" * 32
TOKEN, CHANNELS = Address(b"\1" * 20), Address(b"\2" * 20)
TERMS = ChannelTerms(EvmSigner(KEY).address, b"\3" * 20, b"\4" * 20, b"\5" * 32)


def test_what_a_deposit_is_for_is_encoded_as_the_contract_reads_it() -> None:
    payee, signer = (format_address(Address(one)) for one in (TERMS.payee, TERMS.signer))
    types = ["uint8", "address", "address", "bytes32"]
    assert encode_opening(TERMS) == encode(types, [0, payee, signer, TERMS.salt])
    channel = ChannelId(b"\6" * 32)
    assert encode_top_up(channel) == encode(["uint8", "bytes32"], [1, channel])


def test_a_deposit_is_signed_as_wallets_sign_it() -> None:
    form, salt = encode_opening(TERMS), Digest(b"\x09" * 32)
    one = Authorization(
        Address(TERMS.payer), CHANNELS, Wei(5 * AI), Epoch(3), form, salt, 1_800_000_000
    )
    assert one.nonce == keccak(encode(["bytes32", "bytes32"], [keccak(form), salt]))
    fields = ("from", "to", "value", "validAfter", "validBefore", "nonce")
    types = ("address", "address", "uint256", "uint256", "uint256", "bytes32")
    typed = encode_typed_data(
        domain_data={
            "name": "Modelex AI",
            "version": "4",
            "chainId": 31337,
            "verifyingContract": format_address(TOKEN),
        },
        message_types={
            "ReceiveWithAuthorization": [
                {"name": name, "type": kind} for name, kind in zip(fields, types, strict=True)
            ]
        },
        message_data={
            "from": format_address(one.payer),
            "to": format_address(CHANNELS),
            "value": 5 * AI,
            "validAfter": 0,
            "validBefore": 1_800_000_000,
            "nonce": one.nonce,
        },
    )
    domain = compute_token_domain(31337, TOKEN, one.epoch)
    assert sign(one, domain, EvmSigner(KEY)) == bytes(Account.sign_message(typed, KEY).signature)
