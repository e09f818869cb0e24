"""What was sent for one nonce, and its outbox."""

from dataclasses import dataclass

from p2p_modelex.chain.abc import Outbox
from p2p_modelex.chain.evm.rpc import INTERNAL_ERROR, RpcError
from p2p_modelex.chain.evm.transaction import (
    SignedTransaction,
    Transaction,
    read_transaction,
    recover_sender,
    sign_transaction,
)
from p2p_modelex.chain.evm.wire import to_hex
from p2p_modelex.errors import ChainError, TransactionFailed, TransactionPending
from p2p_modelex.ids import Address, format_address
from p2p_modelex.records.eip712 import AccountSigner

_KNOWN = ("already known", "already imported", "known transaction")
_TAKEN = ("nonce too low", "replacement transaction underpriced", "nonce is too low")


@dataclass(slots=True)
class Sent:
    """What was sent for one nonce: each version does the same, and the last offers the most.
    outbox: where all versions are kept before they are sent, if they outlive the process. refusal:
    what an endpoint said when it was last sent again, if it did not take it.
    """

    transaction: Transaction
    versions: list[SignedTransaction]
    outbox: Outbox | None = None
    refusal: str = ""

    @property
    def newest(self) -> SignedTransaction:
        return self.versions[-1]

    async def sign(self, transaction: Transaction, signer: AccountSigner) -> SignedTransaction:
        """Add a version. It is noted before it is sent: an answer that is lost must not have us
        take it for another's.
        """
        signed = sign_transaction(transaction, signer)
        self.versions.append(signed)
        if self.outbox is not None:
            await self.outbox.put(*(version.raw for version in self.versions))
        return signed

    def doubt(self, why: str) -> TransactionPending:
        """Return the error of whoever cannot say what became of it."""
        return TransactionPending(
            f"transaction {to_hex(self.newest.hash)} {why}"
            + (f"; the endpoint refuses it: {self.refusal}" if self.refusal else ""),
            hint="it may still be mined: look for its hash before you repeat it",
        )


def take_up(outbox: Outbox, account: Address) -> Sent:
    """Return what an earlier call, or an earlier process, sent. TransactionFailed if it had another
    key: a higher offer, signed by ours, would be paid for by our account as well.
    """
    sender = recover_sender(outbox.signed[-1])
    if sender != account:
        raise TransactionFailed(
            f"it was signed for by another account, {format_address(sender)}",
            hint="was the home's key changed? what that account has deposited is its own",
        )
    versions = [read_transaction(raw) for raw in outbox.signed]
    return Sent(versions[-1][0], [signed for _, signed in versions], outbox)


def is_known(error: ChainError) -> bool:
    """Whether an endpoint says that it has this very transaction."""
    return _says(error, _KNOWN)


def is_taken(error: ChainError) -> bool:
    """Whether an endpoint says that a transaction with this nonce waits or is mined."""
    return _says(error, _TAKEN)


def is_lost(error: ChainError) -> bool:
    """Whether there was no answer to what was sent, or one that does not say what became of it."""
    is_answer = isinstance(error, RpcError) and error.code != INTERNAL_ERROR
    return not (is_answer or is_known(error) or is_taken(error))


def _says(error: ChainError, phrases: tuple[str, ...]) -> bool:
    return isinstance(error, RpcError) and any(phrase in error.text.lower() for phrase in phrases)
