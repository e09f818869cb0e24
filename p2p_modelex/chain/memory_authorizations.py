"""Authorised transfers of a MemoryLedger, by the rules of EpochSignatures.sol."""

from p2p_modelex.chain.abc import Deployment
from p2p_modelex.chain.memory_refusal import revert
from p2p_modelex.errors import RemoteProtocolError
from p2p_modelex.ids import Address, Digest, format_address
from p2p_modelex.records import eip712
from p2p_modelex.records.authorization import TRANSFER, AuthorizedTransfer, compute_digest
from p2p_modelex.records.permit import compute_token_domain
from p2p_modelex.units import Epoch


class MemoryAuthorizations:
    """Which authorisations were used."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._used: set[tuple[Address, Digest]] = set()

    def save(self) -> frozenset[tuple[Address, Digest]]:
        """See MemoryLedger.save."""
        return frozenset(self._used)

    def restore(self, saved: frozenset[tuple[Address, Digest]]) -> None:
        """See MemoryLedger.restore."""
        self._used = set(saved)

    def is_used(self, payer: Address, nonce: Digest) -> bool:
        return (payer, nonce) in self._used

    def use(self, transfer: AuthorizedTransfer) -> None:
        """Note that it moved its money."""
        self._used.add((transfer.payer, transfer.nonce))

    def check(
        self, transfer: AuthorizedTransfer, signature: bytes, epoch: Epoch, now: int
    ) -> Epoch:
        """Return the split epoch in which it was signed; Reverted if it is not good at `now`, unix
        seconds, in `epoch`.
        """
        if not transfer.valid_after < now < transfer.valid_before:
            times = {"validAfter": transfer.valid_after, "validBefore": transfer.valid_before}
            raise revert("AuthorizationNotValidNow", **times)
        payer = format_address(transfer.payer)
        if self.is_used(transfer.payer, transfer.nonce):
            nonce = "0x" + transfer.nonce.hex()
            raise revert("AuthorizationUsedAlready", authorizer=payer, nonce=nonce)
        for written in map(Epoch, reversed(range(epoch + 1))):
            if self._recover(transfer, signature, written) == transfer.payer:
                return written
        raise revert("NotSignedBy", signer=payer)

    def _recover(
        self, transfer: AuthorizedTransfer, signature: bytes, epoch: Epoch
    ) -> Address | None:
        domain = compute_token_domain(self._deployment.chain_id, self._deployment.token, epoch)
        try:
            return eip712.recover(compute_digest(TRANSFER, transfer, domain), signature)
        except RemoteProtocolError:
            return None
