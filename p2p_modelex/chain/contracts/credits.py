"""What contracts that collect $AI for others have in common (interfaces/ICredits.sol)."""

from p2p_modelex.chain.contracts.contract import Contract, Sent
from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.ids import Address


class Credits(Contract):
    """Amounts credited to accounts, which take them when they like."""

    async def fetch_earned(self, account: Address) -> Amount:
        """What an account earned and has not withdrawn."""
        return await self.ask_amount("earnedOf", account)

    async def withdraw(self, account: Address) -> Sent:
        """Have an account paid what it earned; anyone may, as it goes nowhere else."""
        return await self.tell("withdraw", account)
