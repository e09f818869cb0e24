"""Deploys the contracts of a network. Administration, so web3.py in a thread will do.

An interrupted deployment goes on where it stopped: the address of each contract follows from the
account and its nonce and is written down before the transaction is sent.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import trio
from eth_hash.backends.pysha3 import keccak256 as keccak

from p2p_modelex.chain.abc import Deployment
from p2p_modelex.chain.evm.artifacts import Artifact, load_contracts, mask_immutables
from p2p_modelex.chain.evm.journal import Created, Journal, open_journal
from p2p_modelex.chain.evm.plan import Step, Terms, build_plan
from p2p_modelex.chain.evm.refusals import find_lack_of_coin
from p2p_modelex.chain.evm.transaction import encode_rlp
from p2p_modelex.errors import ChainUnreachable, Reverted, TransactionFailed, WrongNetwork
from p2p_modelex.ids import Address, format_address, parse_address
from p2p_modelex.records.signers import EvmSigner

RECEIPT_TIMEOUT_S = 180
REQUEST_TIMEOUT_S = 15


@dataclass(frozen=True, slots=True)
class Deployed:
    """One line of a deployment's account. is_new: made by this run; gas: its transaction's, or an
    estimate in a dry run.
    """

    key: str
    contract: str
    address: Address
    gas: int
    is_new: bool


OnStep = Callable[[Deployed], None]


def _ignore(_: Deployed) -> None: ...


async def deploy(
    url: str,
    private_key: bytes,
    *,
    name: str,
    terms: Terms,
    known: Deployment | None = None,
    journal: Path | None = None,
    on_step: OnStep = _ignore,
) -> Deployment:
    """Deploy what is not there yet, in the order of the plan.

    private_key: of an account that can pay about 25 million gas. known: the network as its file has
    it; what stands there already is kept. journal: where to write down what is done, so that the
    next run goes on; None for a devnet. on_step: called in a thread. On a fresh chain an account
    always gets the same addresses. Raises ChainUnreachable, TransactionFailed, ConfigurationError,
    or BadInput for terms that make no network.
    """
    terms.validate()
    EvmSigner(private_key)  # refused here, before a library's message could quote it
    return await trio.to_thread.run_sync(
        _deploy, url, private_key, name, terms, known, journal, on_step
    )


async def estimate(
    url: str,
    private_key: bytes,
    *,
    terms: Terms,
    known: Deployment | None = None,
    journal: Path | None = None,
) -> tuple[Deployed, ...]:
    """Return what a deployment would create and cost; nothing is sent. Errors as `deploy`."""
    terms.validate()
    EvmSigner(private_key)
    return await trio.to_thread.run_sync(_estimate, url, private_key, terms, known, journal)


def _deploy(
    url: str,
    private_key: bytes,
    name: str,
    terms: Terms,
    known: Deployment | None,
    journal_path: Path | None,
    on_step: OnStep,
) -> Deployment:
    with _connect(url, private_key) as (w3, account):
        chain_id = _fetch_chain_id(w3, known)
        journal = open_journal(journal_path, chain_id, account.address)
        at: dict[str, str] = {}
        for step in build_plan(terms, parse_address(account.address), int(time.time())):
            created, is_new = _find(w3, journal, known, step), False
            if created is None:
                created, is_new = _create(w3, account, journal, step, at), True
                journal.note(step.key, created)
            at[step.key] = created.address
            address = parse_address(created.address)
            on_step(Deployed(step.key, step.contract, address, created.gas, is_new))
    addresses = {key: parse_address(address) for key, address in at.items()}
    return Deployment(name, chain_id, **addresses)


def _fetch_chain_id(w3: Any, known: Deployment | None) -> int:
    chain_id = int(w3.eth.chain_id)
    if known is not None and known.chain_id != chain_id:
        raise WrongNetwork(
            f"the endpoint is of chain {chain_id}, the network {known.name} of {known.chain_id}",
            hint="give the endpoint of that chain, or the network another name",
        )
    return chain_id


def _find(w3: Any, journal: Journal, known: Deployment | None, step: Step) -> Created | None:
    """Return the step's contract if an earlier run made it, or had sent its transaction."""
    created = journal.created.get(step.key)
    named: Address | None = getattr(known, step.key, None)
    if created is None and step.key in journal.planned:
        # The transaction was perhaps sent, and perhaps is not mined yet.
        address = journal.planned[step.key]
        if not _has_code(w3, address, step) and not _wait_pending(w3, journal.deployer):
            return None
        created = Created(address, "", 0)
    if created is None and named is not None:
        created = Created(format_address(named), "", 0)
    if created is None or not _has_code(w3, created.address, step):
        return None
    journal.note(step.key, created)
    return created


def _wait_pending(w3: Any, deployer: str) -> bool:
    """Return whether something of the deployer's was under way, once it is mined."""
    waiting = w3.eth.get_transaction_count(deployer, "pending")
    deadline = time.monotonic() + RECEIPT_TIMEOUT_S
    if w3.eth.get_transaction_count(deployer, "latest") >= waiting:
        return False
    while w3.eth.get_transaction_count(deployer, "latest") < waiting:
        if time.monotonic() > deadline:
            raise TransactionFailed("an earlier transaction of the deployer's is not mined yet")
        time.sleep(0.5)
    return True


def _has_code(w3: Any, address: str, step: Step) -> bool:
    """Whether this version's contract is at the address."""
    artifact = load_contracts().artifacts[step.contract]
    code = mask_immutables(bytes(w3.eth.get_code(w3.to_checksum_address(address))), artifact)
    return code == mask_immutables(artifact.deployed, artifact)


def _create(w3: Any, account: Any, journal: Journal, step: Step, at: dict[str, str]) -> Created:
    artifact = load_contracts().artifacts[step.contract]
    nonce = w3.eth.get_transaction_count(account.address, "pending")
    request = _constructor(w3, artifact, step.arguments(at)).build_transaction(
        {"from": account.address, "nonce": nonce}
    )
    journal.plan(step.key, _predict(account.address, nonce))
    sent = w3.eth.send_raw_transaction(account.sign_transaction(request).raw_transaction)
    receipt = w3.eth.wait_for_transaction_receipt(sent, timeout=RECEIPT_TIMEOUT_S)
    if receipt["status"] != 1:
        raise TransactionFailed(
            f"creating {artifact.name} reverted in transaction {sent.to_0x_hex()}"
        )
    return Created(str(receipt["contractAddress"]), sent.to_0x_hex(), int(receipt["gasUsed"]))


def _estimate(
    url: str,
    private_key: bytes,
    terms: Terms,
    known: Deployment | None,
    journal_path: Path | None,
) -> tuple[Deployed, ...]:
    lines: list[Deployed] = []
    with _connect(url, private_key) as (w3, account):
        kept = open_journal(journal_path, _fetch_chain_id(w3, known), account.address)
        journal = replace(kept, path=None)
        nonce = w3.eth.get_transaction_count(account.address, "pending")
        at: dict[str, str] = {}
        for step in build_plan(terms, parse_address(account.address), int(time.time())):
            found = _find(w3, journal, known, step)
            if found is None:
                at[step.key] = _predict(account.address, nonce)
                nonce += 1
                call = _constructor(
                    w3, load_contracts().artifacts[step.contract], step.arguments(at)
                )
                gas = int(call.estimate_gas({"from": account.address}))
            else:
                at[step.key], gas = found.address, found.gas
            address = parse_address(at[step.key])
            lines.append(Deployed(step.key, step.contract, address, gas, is_new=found is None))
    return tuple(lines)


def _constructor(w3: Any, artifact: Artifact, arguments: tuple[Any, ...]) -> Any:
    from web3 import Web3

    contract = w3.eth.contract(abi=artifact.entries, bytecode=artifact.creation)
    return contract.constructor(*_checksum(Web3.to_checksum_address, arguments))


def _checksum(to_checksum: Callable[[str], str], value: Any) -> Any:
    """web3 takes addresses with EIP-55's capitals only."""
    if isinstance(value, str):
        return to_checksum(value)
    if isinstance(value, list | tuple):
        return type(value)(_checksum(to_checksum, each) for each in value)
    return value


def _predict(deployer: str, nonce: int) -> str:
    """Return where a creation puts its contract (Yellow Paper, section 7)."""
    raw = keccak(encode_rlp([bytes.fromhex(deployer[2:]), nonce]))[12:]
    return format_address(Address(raw))


@contextmanager
def _connect(url: str, private_key: bytes) -> Iterator[tuple[Any, Any]]:
    """Yield web3 and the account; what they raise becomes our errors."""
    recursion_limit = sys.getrecursionlimit()
    import requests
    from web3 import HTTPProvider, Web3
    from web3.exceptions import ContractCustomError, Web3Exception

    # web3 imports py_ecc, which raises the limit for the whole process to 100,000: past what the
    # C stack holds, so that any deeply nested input to a parser would end us.
    sys.setrecursionlimit(recursion_limit)
    try:
        # web3 leaves sessions of its own to the garbage collector; this one is closed.
        with requests.Session() as session:
            kwargs = {"timeout": REQUEST_TIMEOUT_S}
            w3 = Web3(HTTPProvider(url, request_kwargs=kwargs, session=session))
            yield w3, w3.eth.account.from_key(private_key)
    except requests.RequestException as error:
        raise ChainUnreachable(
            f"the endpoint failed while deploying: {type(error).__name__}",
            hint="is the endpoint running, and its URL right?",
        ) from error
    except ContractCustomError as error:
        refusal = load_contracts().errors.decode_error(bytes.fromhex(str(error.data)[2:]))
        raise Reverted(
            f"deploying would revert: {refusal.text}",
            name=refusal.name,
            arguments=refusal.arguments,
        ) from error
    except (Web3Exception, ValueError) as error:
        lack = find_lack_of_coin(str(error), EvmSigner(private_key).address)
        raise lack or TransactionFailed(f"deploying failed: {error}") from error
