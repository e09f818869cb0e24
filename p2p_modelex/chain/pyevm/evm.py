"""A private chain in this process: py-evm with one miner, no peers and no proof of anything.

Rules are those of Prague, the newest fork py-evm knows, and Osaka's gas limit for one
transaction (EIP-7825), which py-evm lacks. Not thread-safe. Nothing is ever forgotten: a devnet
that mines for days belongs on anvil.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from eth.chains.base import MiningChain
from eth.constants import POST_MERGE_MIX_HASH, POST_MERGE_NONCE
from eth.db.atomic import AtomicDB
from eth.db.backends.memory import MemoryDB
from eth.exceptions import HeaderNotFound, TransactionNotFound
from eth.vm.forks.prague import PragueVM
from eth.vm.spoof import SpoofTransaction
from eth_utils.exceptions import ValidationError

from p2p_modelex.ids import Address

BLOCK_GAS = 30_000_000
TRANSACTION_GAS = 16_777_216  # EIP-7825
# A call inside a call gets 63/64 of what is left (EIP-150), so a limit of exactly what was used
# can be too little a few calls deep.
_ESTIMATE_DIVISOR = 16


class Refused(Exception):
    """A transaction or call that the rules do not admit; nothing has changed."""


class Reverted(Exception):
    """The code ran and failed. reason: the revert bytes, empty if it ran out of gas, say."""

    def __init__(self, message: str, reason: bytes) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Request:
    """A call that is tried without being sent. Prices are zero, so any account can make it."""

    sender: Address
    to: Address | None
    value: int
    payload: bytes
    gas: int | None


@dataclass(frozen=True, slots=True)
class Mined:
    """Where a transaction is: its block, its place there, and the block's receipts."""

    block: Any
    index: int
    receipts: tuple[Any, ...]


class PrivateChain:
    """The chain and its only miner.

    `store` is all its state, to be kept and given again; an empty one gets a genesis with
    `balances`, native wei. `now` is the wall clock, seconds.
    """

    def __init__(
        self,
        store: dict[bytes, bytes],
        chain_id: int,
        balances: Mapping[Address, int],
        now: Callable[[], float],
    ) -> None:
        """Raise HeaderNotFound if `store` holds something else."""
        self._now = now
        self._ahead_s = 0
        self.chain_id = chain_id
        self.mines_at_once = True
        kind: Any = MiningChain.configure(
            __name__="Devnet", vm_configuration=((0, PragueVM),), chain_id=chain_id
        )
        database = AtomicDB(MemoryDB(store))
        genesis = _genesis(balances, now())
        self._chain = kind(database) if store else kind.from_genesis(database, *genesis)
        # A kept chain may be ahead of the clock; it goes on from there.
        self._ahead_s = max(0, self.head.timestamp - int(now()))
        self._begin_block()

    @property
    def head(self) -> Any:
        """The header of the newest mined block."""
        return self._chain.get_canonical_head()

    @property
    def next_base_fee(self) -> int:
        return int(self._chain.header.base_fee_per_gas)

    def find_header(self, number: int) -> Any | None:
        """Return the header of a mined block, None for one that is not."""
        if number > self.head.block_number:
            return None
        return self._chain.get_canonical_block_header_by_number(number)

    def find_header_by_hash(self, name: bytes) -> Any | None:
        try:
            return self._chain.get_block_header_by_hash(name)
        except HeaderNotFound:
            return None

    def read_block(self, header: Any) -> Any:
        """Return the block with its transactions."""
        return self._chain.get_block_by_header(header)

    def read_receipts(self, block: Any) -> tuple[Any, ...]:
        return tuple(block.get_receipts(self._chain.chaindb))

    def find_transaction(self, name: bytes) -> Mined | None:
        """Return a mined transaction by its hash."""
        try:
            number, index = self._chain.get_canonical_transaction_index(name)
        except TransactionNotFound:
            return None
        block = self.read_block(self.find_header(number))
        return Mined(block, index, self.read_receipts(block))

    def read_state(self, header: Any | None) -> Any:
        """Return py-evm's state after a block; None for what the next block begins with."""
        return self._chain.get_vm(self._chain.header if header is None else header).state

    def call(self, request: Request, header: Any | None) -> bytes:
        """Return what a call returns after a block; None for a call in the next block.

        Raises Refused or Reverted.
        """
        return bytes(self._try(request, request.gas or TRANSACTION_GAS, header).output)

    def estimate(self, request: Request, header: Any | None) -> int:
        """Return a gas limit that suffices. Raises Refused or Reverted."""
        computation = self._try(request, TRANSACTION_GAS, header)
        # What is refunded at the end has to be there before.
        used = TRANSACTION_GAS - computation.get_gas_remaining()
        for limit in self._limits(used):
            try:
                self._try(request, limit, header)
            except (Refused, Reverted):
                continue
            return limit
        return TRANSACTION_GAS

    def send(self, raw: bytes) -> bytes:
        """Take a signed transaction, mine it if one mines at once, and return its hash.

        Raises Refused; a transaction that reverts is mined all the same.
        """
        try:
            transaction = self._chain.get_vm().get_transaction_builder().decode(raw)
            sender = transaction.sender
        except Exception as error:  # whatever the decoders trip over: RLP, types, signatures
            raise Refused(f"malformed transaction: {error}") from error
        self._check(transaction, sender)
        if not self._chain.get_block().transactions:
            self._begin_block()
        elif self._chain.header.gas_used + transaction.gas > BLOCK_GAS:
            self.mine()
        try:
            self._chain.apply_transaction(transaction)
        except ValidationError as error:
            raise Refused(str(error)) from error
        if self.mines_at_once:
            self.mine()
        return bytes(transaction.hash)

    def mine(self) -> None:
        """Mine a block of what was sent; an empty one if nothing was."""
        if not self._chain.get_block().transactions:
            self._begin_block(keep_state=True)
        self._chain.mine_block(mix_hash=os.urandom(32), blob_gas_used=0)
        self._begin_block()

    def set_balance(self, account: Address, amount: int) -> None:
        """Set an account's native coin, wei, and mine a block, from which on it holds."""
        state = self.read_state(None)
        state.set_balance(account, amount)
        state.persist()
        self._chain.header = self._chain.header.copy(state_root=state.state_root)
        self.mine()

    def advance_time(self, seconds: int) -> None:
        """Let the next block be at least this much after the newest and after now."""
        self._ahead_s = max(self._clock(), self.head.timestamp) + seconds - int(self._now())

    def _clock(self) -> int:
        return int(self._now()) + self._ahead_s

    def _begin_block(self, *, keep_state: bool = False) -> None:
        """Make the header of the next block. keep_state: a balance has been set in the old one."""
        header = self._next_header()
        if keep_state:
            header = header.copy(state_root=self._chain.header.state_root)
        self._chain.header = header

    def _next_header(self) -> Any:
        parent = self.head
        timestamp = max(parent.timestamp + 1, self._clock())
        return self._chain.create_header_from_parent(
            parent, gas_limit=BLOCK_GAS, timestamp=timestamp
        )

    def _try(self, request: Request, gas: int, header: Any | None) -> Any:
        header = (self._next_header() if header is None else header).copy(base_fee_per_gas=0)
        vm = self._chain.get_vm(header)
        unsigned = vm.get_transaction_builder().new_unsigned_dynamic_fee_transaction(
            chain_id=self.chain_id,
            nonce=vm.state.get_nonce(request.sender),
            max_priority_fee_per_gas=0,
            max_fee_per_gas=0,
            gas=min(gas, TRANSACTION_GAS),
            to=request.to or b"",
            value=request.value,
            data=request.payload,
            access_list=[],
        )
        try:
            computation = vm.state.apply_transaction(
                SpoofTransaction(unsigned, from_=request.sender)
            )
        except ValidationError as error:
            raise Refused(str(error)) from error
        if computation.is_error:
            raise _explain(computation)
        return computation

    @staticmethod
    def _limits(used: int) -> Iterator[int]:
        limit = used
        while limit < TRANSACTION_GAS:
            yield limit
            limit += limit // _ESTIMATE_DIVISOR + 1

    def _check(self, transaction: Any, sender: bytes) -> None:
        """The refusals that nodes agree on the wording of, which wallets look for."""
        # A mined one is no longer known: its nonce is taken, and its sender has to learn that.
        if transaction.hash in {sent.hash for sent in self._chain.get_block().transactions}:
            raise Refused("already known")
        state = self.read_state(None)
        nonce = state.get_nonce(sender)
        if transaction.nonce != nonce:
            relation = "low" if transaction.nonce < nonce else "high"
            raise Refused(f"nonce too {relation}: next nonce {nonce}, got {transaction.nonce}")
        if transaction.gas > TRANSACTION_GAS:
            raise Refused(f"gas limit over {TRANSACTION_GAS} (EIP-7825)")
        most = transaction.gas * transaction.max_fee_per_gas + transaction.value
        if state.get_balance(sender) < most:
            raise Refused("insufficient funds for gas * price + value")


def _explain(computation: Any) -> Reverted:
    reason = bytes(computation.output)
    name = "" if reason else f": {type(computation.error).__name__}"
    return Reverted(f"execution reverted{name}", reason)


def _genesis(
    balances: Mapping[Address, int], now: float
) -> tuple[dict[str, Any], dict[bytes, dict[str, Any]]]:
    parameters = {
        "difficulty": 0,
        "mix_hash": POST_MERGE_MIX_HASH,
        "nonce": POST_MERGE_NONCE,
        "gas_limit": BLOCK_GAS,
        "timestamp": int(now),
    }
    accounts = {
        bytes(account): {"balance": amount, "nonce": 0, "code": b"", "storage": {}}
        for account, amount in balances.items()
    }
    return parameters, accounts
