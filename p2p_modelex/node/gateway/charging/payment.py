"""One payment: what was signed, bringing it to the chain once, and remembering that it was."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec
import structlog
import trio

from p2p_modelex.chain.abc import Chain
from p2p_modelex.errors import ChainError, Reverted
from p2p_modelex.ids import Digest, format_address
from p2p_modelex.node.gateway.charging import shapes
from p2p_modelex.node.gateway.charging.journal import Journal, Name, Unanswered
from p2p_modelex.node.gateway.refusal import CLIENT_GONE, DEADLINE, Refusal
from p2p_modelex.records.authorization import AuthorizedTransfer
from p2p_modelex.units import Epoch, Wei, rescale

_ON_ITS_WAY = bytes(32)
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Signed:
    """A payment as it came."""

    transfer: AuthorizedTransfer
    signature: bytes

    @property
    def name(self) -> Name:
        return self.transfer.payer, self.transfer.nonce


class Payment:
    """One payment, verified. `headers`: for the head of the answer, once it is settled."""

    def __init__(
        self,
        signed: Signed,
        epoch: Epoch,
        chain: Chain,
        journal: Journal,
        before: Unanswered | None,
    ) -> None:
        """epoch: the split epoch of its amount. before: it was brought to the chain for an earlier
        request.
        """
        self.name = signed.name
        self.epoch = epoch
        self.signed = signed
        self._chain = chain
        self.journal = journal
        self.is_known = before is not None
        self._refusal: Refusal | None = None
        self._turn = trio.Lock()
        self.headers: tuple[tuple[str, str], ...] = ()
        if before is not None and before.transaction != _ON_ITS_WAY:
            self._note_settled(Digest(before.transaction))

    @property
    def is_settled(self) -> bool:
        """Whether the money has moved."""
        return bool(self.headers)

    def compute_worth(self, epoch: Epoch) -> Wei:
        """Return its amount in wei of a split epoch."""
        return Wei(rescale(self.signed.transfer.wei, self.epoch, epoch))

    async def settle(self) -> None:
        """Bring it to the chain; once, however often this is called. Raises Refusal."""
        async with self._turn:
            if self._refusal is not None:
                raise self._refusal
            if not self.is_settled:
                await self._settle()

    async def _settle(self) -> None:
        transfer = self.signed.transfer
        entry = Unanswered(*self.name, transfer.wei, self.epoch, int(time.time()), _ON_ITS_WAY)
        await self.journal.note(entry)
        try:
            transaction = await self._bring()
        except Reverted as error:
            await self.journal.close(self.name)
            reason = f"the payment could not be settled: {error.message}"
            self._refusal = Refusal(402, "payment_failed", reason)
            raise self._refusal from error
        except ChainError as error:
            # It may still be mined; then the payment is good for another request.
            log.warning("unsettled", payer=format_address(transfer.payer), reason=str(error))
            reason = f"the payment could not be brought to the chain: {error.message}"
            self._refusal = Refusal(503, "chain", reason)
            raise self._refusal from error
        await self.journal.note(msgspec.structs.replace(entry, transaction=transaction))
        self._note_settled(transaction)
        log.info("paid", payer=format_address(transfer.payer), wei=int(transfer.wei))

    async def _bring(self) -> Digest:
        """The transaction's hash. What a crash kept from being known was mined by now, or not: a
        payer who cancels it just then has an answer for the gas of that.
        """
        if self.is_known and await self._chain.fetch_authorization_used(*self.name):
            return Digest(_ON_ITS_WAY)
        return await self._chain.transfer_authorized(self.signed.transfer, self.signed.signature)

    def _note_settled(self, transaction: Digest) -> None:
        result = shapes.SettleResponse(
            payer=format_address(self.signed.transfer.payer),
            transaction="0x" + transaction.hex(),
            network=shapes.name_network(self._chain.deployment.chain_id),
            amount=str(int(self.signed.transfer.wei)),
        )
        self.headers = ((shapes.RESULT, shapes.encode(result)),)


@asynccontextmanager
async def closing(payment: Payment, *, is_timed: bool) -> AsyncGenerator[None, None]:
    """Forget a payment once it is answered, or whoever paid has gone, or wanted no more when its
    own time was up; what was settled for nothing stays good for another request. is_timed: whether
    whoever paid gave a time.
    """
    close = payment.journal.close
    try:
        yield
    except BaseException as error:
        status = error.status if isinstance(error, Refusal) else 0
        if status != CLIENT_GONE and not (is_timed and status == DEADLINE):
            close = payment.journal.count_failure
        raise
    finally:
        if payment.is_settled:
            with trio.CancelScope(shield=True):
                await close(payment.name)
