"""AIToken (contracts/src/interfaces/IAIToken.sol): $AI, its splits and its owner."""

from dataclasses import dataclass
from typing import Literal

from p2p_modelex.chain.contracts.contract import Sent
from p2p_modelex.chain.contracts.owned import Owned
from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.ids import Address
from p2p_modelex.records.permit import Permit, compute_token_domain, sign
from p2p_modelex.units import Epoch

UNLIMITED = 2**256 - 1
"""An allowance that no transfer lowers."""


@dataclass(frozen=True, slots=True)
class Split:
    """The token's splits as of a block. epoch: how many there were. head: that block.

    pauses_at, splits_at: blocks from which transfers stop, and go on in the next epoch; 0 if none
    is announced.
    """

    epoch: Epoch
    head: int
    pauses_at: int
    splits_at: int

    @property
    def state(self) -> Literal["none", "announced", "paused"]:
        """What a transfer finds in the block after `head`."""
        if self.splits_at <= self.head + 1:
            return "none"
        return "paused" if self.pauses_at <= self.head + 1 else "announced"


class Token(Owned):
    """$AI: ERC-20 with splits, transferAndCall, permits and authorised transfers."""

    artifact = "AIToken"
    key = "token"

    async def fetch_epoch(self) -> Epoch:
        """How many splits there were."""
        return Epoch(await self.ask("epoch"))

    async def fetch_supply(self) -> Amount:
        """All $AI there is: 10^9 AI times two for each split."""
        return await self.ask_amount("totalSupply")

    async def fetch_balance(self, account: Address) -> Amount:
        """What an account holds."""
        return await self.ask_amount("balanceOf", account)

    async def fetch_allowance(self, holder: Address, spender: Address) -> Amount | None:
        """What `spender` may take of `holder`; None if it has no limit."""
        answers = await self.ask_all(("allowance", holder, spender))
        return None if answers.values == [UNLIMITED] else answers.amount(0)

    async def fetch_split(self) -> Split:
        """The splits so far, and the one announced."""
        answers = await self.ask_all(("split",))
        head, [(_, pauses_at, splits_at)] = answers.head.number, answers.values
        if splits_at <= head:  # the last one, or none yet
            return Split(answers.epoch, head, 0, 0)
        return Split(answers.epoch, head, pauses_at, splits_at)

    async def transfer(self, to: Address, amount: Amount) -> Sent:
        """Send $AI of our account. BadInput if the amount is not of the current epoch."""
        return await self.tell("transfer", to, await self.write_amount(amount))

    async def approve(self, spender: Address, amount: Amount | None) -> Sent:
        """Let `spender` take that much of our account in all, None for no limit; what it might
        before is replaced.
        """
        value = UNLIMITED if amount is None else await self.write_amount(amount)
        return await self.tell("approve", spender, value)

    async def sign_permit(
        self, spender: Address, amount: Amount, valid_s: int
    ) -> tuple[Permit, bytes]:
        """Sign that `spender` may take that much of our account, good for `valid_s` seconds of the
        chain's clock. Costs nothing; whoever uses it pays the gas.
        """
        holder = self.network.account
        answers = await self.ask_all(("nonces", holder))
        deadline = answers.head.timestamp + valid_s
        permit = Permit(holder, spender, amount.wei, amount.epoch, answers.values[0], deadline)
        chain_id = self.network.deployment.chain_id
        domain = compute_token_domain(chain_id, self.address, permit.epoch)
        return permit, sign(permit, domain, self.network.signer)

    async def use_permit(self, permit: Permit, signature: bytes) -> Sent:
        """Write down what a holder signed; anyone may."""
        r, s, v = signature[:32], signature[32:64], signature[64]
        return await self.tell(
            *("permit", permit.holder, permit.spender, permit.wei, permit.deadline, v, r, s)
        )

    async def announce_split(self) -> Sent:
        """As the owner: a split after the notice and the pause that the contract was made with."""
        return await self.tell("announceSplit")

    async def cancel_split(self) -> Sent:
        """As the owner, before the pause."""
        return await self.tell("cancelSplit")
