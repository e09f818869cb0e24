"""The permit's digest against eth-account's; tests/chain/contracts has the token check it."""

from eth_account import Account
from eth_account.messages import encode_typed_data

from p2p_modelex.ids import Address, format_address
from p2p_modelex.records.permit import Permit, compute_token_domain, sign
from p2p_modelex.records.signers import EvmSigner
from p2p_modelex.units import AI, Epoch, Wei

KEY = b"\7" * 32
TOKEN, SPENDER = Address(b"\1" * 20), Address(b"\2" * 20)


def test_a_permit_is_signed_as_wallets_sign_it() -> None:
    signer = EvmSigner(KEY)
    permit = Permit(signer.address, SPENDER, Wei(5 * AI), Epoch(3), 9, 1_800_000_000)
    domain = compute_token_domain(31337, TOKEN, permit.epoch)
    typed = encode_typed_data(
        domain_data={
            "name": "Modelex AI",
            "version": "4",
            "chainId": 31337,
            "verifyingContract": format_address(TOKEN),
        },
        message_types={
            "Permit": [
                {"name": "owner", "type": "address"},
                {"name": "spender", "type": "address"},
                {"name": "value", "type": "uint256"},
                {"name": "nonce", "type": "uint256"},
                {"name": "deadline", "type": "uint256"},
            ]
        },
        message_data={
            "owner": format_address(signer.address),
            "spender": format_address(SPENDER),
            "value": 5 * AI,
            "nonce": 9,
            "deadline": 1_800_000_000,
        },
    )
    assert sign(permit, domain, signer) == bytes(Account.sign_message(typed, KEY).signature)
