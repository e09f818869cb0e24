"""PaymentChannels (contracts/src/interfaces/IPaymentChannels.sol): deposits in each of their ways.

What a node does with channels, redeeming and closing among it, is in the port (chain/abc.py).
"""

import secrets

from p2p_modelex.chain.contracts.contract import Contract, Sent
from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.ids import Digest
from p2p_modelex.records.deposit import Authorization, sign
from p2p_modelex.records.permit import Permit, compute_token_domain


class Channels(Contract):
    """Opens and tops up channels. form: what a deposit is for, by records.deposit.encode_opening or
    encode_top_up. `pay` takes it too, which is the port's way (transferAndCall).
    """

    artifact = "PaymentChannels"
    key = "channels"

    async def deposit(self, form: bytes, amount: Amount) -> Sent:
        """Deposit of our account, which has approved it (Token.approve). BadInput if the amount is
        not of the current epoch.
        """
        return await self.tell("deposit", await self.write_amount(amount), form)

    async def deposit_with_permit(self, form: bytes, permit: Permit, signature: bytes) -> Sent:
        """The same by our own permit for this contract (Token.sign_permit): one transaction."""
        wei = await self.write_amount(Amount(permit.wei, permit.epoch))
        r, s, v = signature[:32], signature[32:64], signature[64]
        return await self.tell("depositWithPermit", wei, form, permit.deadline, v, r, s)

    async def sign_deposit(
        self, form: bytes, amount: Amount, valid_s: int
    ) -> tuple[Authorization, bytes]:
        """Sign a deposit of our account, good for `valid_s` seconds of the chain's clock. Costs
        nothing; whoever brings it pays the gas.
        """
        deadline = (await self.network.fetch_head()).timestamp + valid_s
        authorization = Authorization(
            payer=self.network.account,
            channels=self.address,
            wei=amount.wei,
            epoch=amount.epoch,
            form=form,
            salt=Digest(secrets.token_bytes(32)),
            valid_before=deadline,
        )
        token, chain_id = self.network.find("token"), self.network.deployment.chain_id
        domain = compute_token_domain(chain_id, token, authorization.epoch)
        return authorization, sign(authorization, domain, self.network.signer)

    async def bring_deposit(self, authorization: Authorization, signature: bytes) -> Sent:
        """Bring what a payer signed; anyone may. Signed before a split it deposits its worth."""
        one, r, s, v = authorization, signature[:32], signature[32:64], signature[64]
        times = (0, one.valid_before)
        return await self.tell(
            "depositWithAuthorization", one.payer, one.wei, one.form, (*times, one.salt, v, r, s)
        )
