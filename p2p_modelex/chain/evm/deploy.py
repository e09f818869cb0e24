"""Deploys the contracts of a new network. Administration, so web3.py in a thread will do."""

import sys
from typing import Any

import trio

from p2p_modelex.chain.abc import Deployment
from p2p_modelex.chain.evm.artifacts import Artifact, load_contracts
from p2p_modelex.errors import BadInput, ChainUnreachable, TransactionFailed
from p2p_modelex.ids import parse_address
from p2p_modelex.records.signers import EvmSigner

SPLIT_NOTICE_BLOCKS = 50_400
"""A week of 12 s blocks from a split's announcement to its pause."""

SPLIT_PAUSE_BLOCKS = 300
"""An hour of 12 s blocks; shorter than any challenge period that a network should have."""

RECEIPT_TIMEOUT_S = 180
REQUEST_TIMEOUT_S = 15


async def deploy(url: str, private_key: bytes, *, name: str, challenge_s: int) -> Deployment:
    """Deploy AIToken (the whole supply to the deployer), NodeRegistry and PaymentChannels.

    The deployer may announce splits and admit nodes to the whitelisted section. private_key: of
    an account that can pay about 8 million gas. challenge_s: seconds between a payer's startClose
    and finishClose. Addresses follow from the account and its nonce, so a
    fresh devnet always gets the same three. Raises ChainUnreachable or TransactionFailed.
    """
    if challenge_s <= 0:
        raise BadInput("the challenge period is at least one second")
    EvmSigner(private_key)  # refused here, before a library's message could quote it
    return await trio.to_thread.run_sync(_deploy, url, private_key, name, challenge_s)


def _deploy(url: str, private_key: bytes, name: str, challenge_s: int) -> Deployment:
    recursion_limit = sys.getrecursionlimit()
    import requests
    from web3 import HTTPProvider, Web3
    from web3.exceptions import ContractCustomError, Web3Exception

    # web3 imports py_ecc, which raises the limit for the whole process to 100,000: past what the
    # C stack holds, so that any deeply nested input to a parser would end us.
    sys.setrecursionlimit(recursion_limit)

    artifacts = load_contracts().artifacts
    try:
        # web3 leaves sessions of its own to the garbage collector; this one is closed.
        with requests.Session() as session:
            kwargs = {"timeout": REQUEST_TIMEOUT_S}
            w3 = Web3(HTTPProvider(url, request_kwargs=kwargs, session=session))
            account = w3.eth.account.from_key(private_key)
            owner = account.address
            allocation = (owner, owner, owner)
            splits = (SPLIT_NOTICE_BLOCKS, SPLIT_PAUSE_BLOCKS)
            token = _create(w3, account, artifacts["AIToken"], allocation, owner, *splits)
            registry = _create(w3, account, artifacts["NodeRegistry"], owner)
            channels = _create(w3, account, artifacts["PaymentChannels"], token, challenge_s)
            chain_id = w3.eth.chain_id
    except requests.RequestException as error:
        raise ChainUnreachable(
            f"the endpoint failed while deploying: {type(error).__name__}",
            hint="is the endpoint running, and its URL right?",
        ) from error
    except ContractCustomError as error:
        reason = load_contracts().errors.explain(bytes.fromhex(str(error.data)[2:]))
        raise TransactionFailed(f"deploying would revert: {reason}") from error
    except (Web3Exception, ValueError) as error:
        raise TransactionFailed(f"deploying failed: {error}") from error
    return Deployment(name, chain_id, *(parse_address(a) for a in (token, registry, channels)))


def _create(w3: Any, account: Any, artifact: Artifact, *arguments: Any) -> str:
    contract = w3.eth.contract(abi=artifact.entries, bytecode=artifact.creation)
    nonce = w3.eth.get_transaction_count(account.address, "pending")
    request = contract.constructor(*arguments).build_transaction(
        {"from": account.address, "nonce": nonce}
    )
    sent = w3.eth.send_raw_transaction(account.sign_transaction(request).raw_transaction)
    receipt = w3.eth.wait_for_transaction_receipt(sent, timeout=RECEIPT_TIMEOUT_S)
    if receipt["status"] != 1:
        raise TransactionFailed(
            f"creating {artifact.name} reverted in transaction {sent.to_0x_hex()}"
        )
    return str(receipt["contractAddress"])
