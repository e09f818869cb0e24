"""WrappedAI (contracts/src/interfaces/IWrappedAI.sol): a balance that no split changes."""

from p2p_modelex.chain.contracts.contract import Contract, Sent, read_wei
from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.ids import Address
from p2p_modelex.units import Wei


class Wrapped(Contract):
    """wAI: one is 2^epoch AI. Amounts of wAI are plain wei, since they have no epoch."""

    artifact = "WrappedAI"
    key = "wrapped"

    async def fetch_balance(self, account: Address) -> Wei:
        """What an account holds, in wei of wAI."""
        return read_wei(await self.ask("balanceOf", account))

    async def fetch_worth(self, wrapped: Wei) -> Amount:
        """What that much wAI becomes by unwrapping now."""
        return await self.ask_amount("amountOf", wrapped)

    async def wrap(self, amount: Amount) -> Sent:
        """Turn $AI into wAI of our account, in one transaction; what is less than a unit of wAI
        comes back.
        """
        return await self.pay(amount)

    async def unwrap(self, wrapped: Wei) -> Sent:
        """Turn wei of wAI back into $AI of our account."""
        return await self.tell("unwrap", wrapped, self.network.account)
