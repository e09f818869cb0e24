"""What was sent for one nonce, and its outbox."""

from dataclasses import dataclass

from p2p_modelex.chain.abc import Outbox
from p2p_modelex.chain.evm.transaction import (
    SignedTransaction,
    Transaction,
    read_transaction,
    sign_transaction,
)
from p2p_modelex.chain.evm.wire import to_hex
from p2p_modelex.errors import TransactionPending
from p2p_modelex.records.eip712 import AccountSigner


@dataclass(slots=True)
class Sent:
    """What was sent for one nonce: each version does the same, and the last offers the most.
    outbox: where all versions are kept before they are sent, if they outlive the process.
    """

    transaction: Transaction
    versions: list[SignedTransaction]
    outbox: Outbox | None = None

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
            f"transaction {to_hex(self.newest.hash)} {why}",
            hint="it may still be mined: look for its hash before you repeat it",
        )


def take_up(outbox: Outbox) -> Sent:
    """Return what an earlier call, or an earlier process, sent."""
    versions = [read_transaction(raw) for raw in outbox.signed]
    return Sent(versions[-1][0], [signed for _, signed in versions], outbox)
